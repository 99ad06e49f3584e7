/* Numbers in the byte orders of the wire, at any alignment. */
#ifndef WARMCELL_PROTOCOL_BYTE_ORDER_H
#define WARMCELL_PROTOCOL_BYTE_ORDER_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define LOAD_STORE(name, type, from_wire, to_wire)                                                 \
    static inline type load_##name(const char *from)                                               \
    {                                                                                              \
        type value;                                                                                \
        memcpy(&value, from, sizeof(value));                                                       \
        return from_wire(value);                                                                   \
    }                                                                                              \
    static inline void store_##name(char *to, type value)                                          \
    {                                                                                              \
        value = to_wire(value);                                                                    \
        memcpy(to, &value, sizeof(value));                                                         \
    }

LOAD_STORE(u16le, uint16_t, le16toh, htole16)
LOAD_STORE(u32le, uint32_t, le32toh, htole32)
LOAD_STORE(u64le, uint64_t, le64toh, htole64)
LOAD_STORE(u32be, uint32_t, be32toh, htobe32)

#undef LOAD_STORE

#endif
