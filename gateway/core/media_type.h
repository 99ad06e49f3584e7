/* The media type that a file's name promises. */
#ifndef WARMCELL_GATEWAY_CORE_MEDIA_TYPE_H
#define WARMCELL_GATEWAY_CORE_MEDIA_TYPE_H

/* By its last extension, in any case; "application/octet-stream" when that says nothing. */
const char *media_type_of(const char *name);

/* The ending that promises a type, with its dot; "" for those that have none here. */
const char *media_type_ending(const char *type);

#endif
