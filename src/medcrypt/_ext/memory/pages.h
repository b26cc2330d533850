/*
 * Advice to the operating system about pages.
 *
 * Memory that was just asked for is there only when it is first touched, a page at a time. With pages of 4 KiB, that
 * costs several times what encrypting into them does; with pages of 2 MiB it is not felt.
 */
#ifndef MEDCRYPT_MEMORY_PAGES_H
#define MEDCRYPT_MEMORY_PAGES_H

#include <stddef.h>

/* Asks for huge pages where the system has them on request (Linux, MADV_HUGEPAGE); does nothing elsewhere. */
void pages_prefer_huge(void *memory, size_t size);

#endif
