/* CRC-32C (Castagnoli), which tells bytes that a disk kept from those that it lost. */
#ifndef WARMCELL_PROTOCOL_CRC32C_H
#define WARMCELL_PROTOCOL_CRC32C_H

#include <stdint.h>

#include "protocol/bytes.h"

/* Of data behind bytes whose sum is `before`; 0: there were none. Source: RFC 3720, B.4. */
uint32_t crc32c(uint32_t before, struct bytes data);

#endif
