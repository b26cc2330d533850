#include "detect.h"

#include <stddef.h>

const char *const cpu_feature_names[CPU_FEATURE_COUNT] = {
    "aes",        "pclmul",  "sse4.1",   "avx",      "avx2",     "bmi1",       "bmi2",       "vaes",
    "vpclmulqdq", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512ifma", "avx512vbmi", "os_ymm",
    "os_opmask",  "os_zmm",
};

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)

#include <cpuid.h>

enum source { LEAF1_ECX, LEAF7_EBX, LEAF7_ECX, XCR0, SOURCES };

/* Where each feature is reported: all the bits of the mask must be set in that word. */
static const struct {
    enum cpu_feature feature;
    enum source source;
    uint32_t mask;
} reported[] = {
    {CPU_AES, LEAF1_ECX, 1u << 25},        {CPU_PCLMUL, LEAF1_ECX, 1u << 1},
    {CPU_SSE41, LEAF1_ECX, 1u << 19},      {CPU_AVX, LEAF1_ECX, 1u << 28},
    {CPU_BMI1, LEAF7_EBX, 1u << 3},        {CPU_BMI2, LEAF7_EBX, 1u << 8},
    {CPU_AVX2, LEAF7_EBX, 1u << 5},        {CPU_VAES, LEAF7_ECX, 1u << 9},
    {CPU_VPCLMULQDQ, LEAF7_ECX, 1u << 10}, {CPU_AVX512F, LEAF7_EBX, 1u << 16},
    {CPU_AVX512BW, LEAF7_EBX, 1u << 30},   {CPU_AVX512VL, LEAF7_EBX, 1u << 31},
    {CPU_AVX512DQ, LEAF7_EBX, 1u << 17},   {CPU_AVX512IFMA, LEAF7_EBX, 1u << 21},
    {CPU_AVX512VBMI, LEAF7_ECX, 1u << 1},  {CPU_OS_YMM, XCR0, 0x06},
    {CPU_OS_OPMASK, XCR0, 0x20},           {CPU_OS_ZMM, XCR0, 0xc0},
};

/* Encoded by hand so that this file needs no -mxsave. */
static uint32_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

uint32_t cpu_detect(void) {
    const uint32_t osxsave = 1u << 27; /* without it XGETBV is an illegal instruction */
    uint32_t words[SOURCES] = {0}, found = 0, eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        words[LEAF1_ECX] = ecx;
        if (ecx & osxsave) words[XCR0] = read_xcr0();
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        words[LEAF7_EBX] = ebx;
        words[LEAF7_ECX] = ecx;
    }
    for (size_t i = 0; i < sizeof reported / sizeof reported[0]; i++)
        if ((words[reported[i].source] & reported[i].mask) == reported[i].mask)
            found |= 1u << reported[i].feature;
    return found;
}

#else

uint32_t cpu_detect(void) { return 0; }

#endif
