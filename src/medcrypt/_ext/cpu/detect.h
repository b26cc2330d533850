/*
 * What the processor can do, and what the operating system lets it do.
 *
 *   usable(extension) = CPUID says the processor has it  AND  XCR0 says the system saves its registers
 *
 * A system that does not save zmm registers on a context switch would corrupt them silently, so the
 * second condition is as hard as the first. XCR0 bits (Intel SDM vol. 1, 13.3): 1 xmm, 2 ymm, 5 opmask,
 * 6 upper halves of zmm0-15, 7 zmm16-31.
 */
#ifndef MEDCRYPT_CPU_DETECT_H
#define MEDCRYPT_CPU_DETECT_H

#include <stdint.h>

enum cpu_feature {
    CPU_AES,
    CPU_PCLMUL,
    CPU_SSE41,
    CPU_AVX,
    CPU_AVX2,
    CPU_BMI1,
    CPU_BMI2,
    CPU_VAES,
    CPU_VPCLMULQDQ,
    CPU_AVX512F,
    CPU_AVX512BW,
    CPU_AVX512VL,
    CPU_AVX512DQ,
    CPU_AVX512IFMA,
    CPU_AVX512VBMI,
    CPU_OS_YMM,
    CPU_OS_OPMASK,
    CPU_OS_ZMM,
    CPU_FEATURE_COUNT
};

/* Lower-case names in the order of the enumeration. */
extern const char *const cpu_feature_names[CPU_FEATURE_COUNT];

/* One bit for each feature: bit i is enum value i. Zero where the processor is not an x86. */
uint32_t cpu_detect(void);

#endif
