/* The assembler puts the files into the program; WARMCELL_LOGO_DIR names their folder at build
 * time. */
#include "gateway/kernelspec_logos.h"

#define LOGO(symbol, file)                                                                         \
    __asm__(".section .rodata\n" #symbol ":\n.incbin \"" WARMCELL_LOGO_DIR "/" file "\"\n" #symbol \
            "_end:\n.byte 0\n.previous\n");                                                        \
    extern const char symbol[], symbol##_end[]

LOGO(logo_small, "logo-32x32.png");
LOGO(logo_large, "logo-64x64.png");
LOGO(logo_vector, "logo-svg.svg");

bool kernelspec_logo(size_t number, struct kernelspec_logo *out)
{
    static const struct {
        const char *name, *start, *end;
    } logos[] = {
        {"logo-32x32.png", logo_small, logo_small_end},
        {"logo-64x64.png", logo_large, logo_large_end},
        {"logo-svg.svg", logo_vector, logo_vector_end},
    };
    if (number >= countof(logos))
        return false;
    out->name = logos[number].name;
    out->content.data = logos[number].start;
    out->content.len = (size_t)(logos[number].end - logos[number].start);
    return true;
}
