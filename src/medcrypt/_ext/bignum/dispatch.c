/* One place that picks: the table of kernels is chosen once for each ring. */
#include "bignum.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

/* MULX (BMI2), ADCX and ADOX (ADX) work on general registers: the operating system has no say in them. */
static const bn_kernels *adx(void) {
    const uint32_t bmi2 = 1u << 8, adx = 1u << 19;
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return NULL;
    return (ebx & bmi2) && (ebx & adx) ? &bn_adx : NULL;
}

#ifdef MEDCRYPT_X86_KERNELS

/* AVX2 says nothing of FMA, which came with it in nearly every processor. */
static const bn_kernels *fma_units(void) {
    const uint32_t fma = 1u << 12;
    uint32_t eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & fma) ? &bn_fma : NULL;
}

#endif

#else

static const bn_kernels *adx(void) { return NULL; }

#endif

const bn_kernels *bn_kernels_of(const char *name) {
    if (strcmp(name, "int128") == 0) return &bn_portable;
    if (strcmp(name, "adx") == 0) return adx();
#ifdef MEDCRYPT_X86_KERNELS
    if (strcmp(name, "narrow") == 0) return &bn_narrow;
    if (strcmp(name, "fma") == 0) return fma_units();
    if (strcmp(name, "avx2") == 0 && fma_units() != NULL) return fma_units();
    if (strcmp(name, "avx512") == 0 || strcmp(name, "ifma") == 0) return &bn_ifma;
#endif
    return adx() != NULL ? adx() : &bn_portable;
}
