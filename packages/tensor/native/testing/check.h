// For the native tests, x_test.cc: programs that tools/native/run-native-tests.mjs builds and runs.
#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the program if `condition` is false.
#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      std::fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                            \
    }                                                                          \
  } while (false)
