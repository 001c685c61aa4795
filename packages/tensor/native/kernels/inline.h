// Small functions that instruction-set files share with the rest are never emitted on their own: the linker would keep
// one copy for all, perhaps the AVX-512 one.
#pragma once

#define LLM_INLINE inline __attribute__((always_inline))
