/* A kernel.json: what is accepted has the members that a launch reads. */
#include "tests/fuzz/fuzz.h"

#include "gateway/launch/kernelspec.h"
#include "protocol/memory.h"

bool fuzz_one(struct bytes input)
{
    struct err e;
    json_t *spec = kernelspec_parse(input.data, input.len, &e);
    if (!spec)
        return refused(&e);
    REQUIRE(json_array_size(json_object_get(spec, "argv")) > 0);
    REQUIRE(json_is_object(json_object_get(spec, "env")));
    REQUIRE(json_is_object(json_object_get(spec, "metadata")));
    REQUIRE(json_is_string(json_object_get(spec, "interrupt_mode")));
    kernelspec_has_uplink(spec);
    json_decref(spec);
    return true;
}
