/* The extensions of what notebooks and agents write and read; IANA's names for them. */
#include "gateway/core/media_type.h"

#include <string.h>
#include <strings.h>

#include "protocol/memory.h"

static const struct {
    const char *extension, *type;
} rows[] = {
    {"7z", "application/x-7z-compressed"},
    {"arrow", "application/vnd.apache.arrow.file"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"c", "text/x-c; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h5", "application/x-hdf5"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/vnd.microsoft.icon"},
    {"ipynb", "application/x-ipynb+json"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"jsonl", "application/jsonl"},
    {"log", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"ogg", "audio/ogg"},
    {"parquet", "application/vnd.apache.parquet"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"py", "text/x-python; charset=utf-8"},
    {"rtf", "application/rtf"},
    {"sh", "application/x-sh"},
    {"sqlite", "application/vnd.sqlite3"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tex", "application/x-tex"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"tsv", "text/tab-separated-values; charset=utf-8"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

const char *media_type_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < countof(rows); i++)
        if (strcasecmp(rows[i].extension, dot + 1) == 0)
            return rows[i].type;
    return "application/octet-stream";
}

const char *media_type_ending(const char *type)
{
    static const struct {
        const char *type, *ending;
    } endings[] = {
        {"application/geo+json", ".geojson"},
        {"application/json", ".json"},
        {"application/pdf", ".pdf"},
        {"audio/mpeg", ".mp3"},
        {"audio/wav", ".wav"},
        {"image/bmp", ".bmp"},
        {"image/gif", ".gif"},
        {"image/jpeg", ".jpg"},
        {"image/png", ".png"},
        {"image/svg+xml", ".svg"},
        {"image/webp", ".webp"},
        {"text/html", ".html"},
        {"text/latex", ".tex"},
        {"text/markdown", ".md"},
        {"video/mp4", ".mp4"},
        {"video/webm", ".webm"},
    };
    size_t len = strlen(type);
    for (size_t i = 0; i < countof(endings); i++)
        if (strcmp(endings[i].type, type) == 0)
            return endings[i].ending;
    return len > 5 && strcmp(type + len - 5, "+json") == 0 ? ".json" : "";
}
