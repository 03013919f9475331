/* Vector instructions: one way to ask for them.
 *
 * x86-64: functions with the attribute SIMD_VECTORS may use AVX2 and BMI2; simd_has_vectors() says at run time whether
 * the machine has them. arm64: NEON is always there. Elsewhere SIMD_ANY is not defined. A kernel has a twin without
 * vectors, named `_scalar`, for other machines and for the tests, which compare the two. */
#ifndef PLINTH_BASE_SIMD_H
#define PLINTH_BASE_SIMD_H

#include <stdbool.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define SIMD_ANY 1
#define SIMD_VECTORS __attribute__((target("avx2,bmi,bmi2,popcnt")))
/* Machines that have these two have all of them. */
static inline bool simd_has_vectors(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"); }

#elif defined(__aarch64__)
#include <arm_neon.h>
#define SIMD_ANY 1
#define SIMD_VECTORS
static inline bool simd_has_vectors(void) { return true; }
#endif

#endif
