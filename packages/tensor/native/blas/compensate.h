// The inner loop of GPTQ (Frantar et al. 2022): rounds columns of a matrix one after another, and takes each column's
// error out of the columns after it.
#pragma once

#include <cstdint>

namespace llm {

struct Compensation {
  int rows, columns;
  // Columns begin .. end are rounded, and those up to `stop` are kept up to date.
  int begin, end, stop;
  float* live;                 // [rows, columns]: the weights as they are, in the order of the permutation
  const float* inverse;        // [columns, columns]: U with U^T U = H^-1, in that order
  const float* correction;     // [columns, columns]: what of a rounded column's value goes to later ones; null: nothing
  const int32_t* permutation;  // [columns]: where a column belongs in the codes
  int group;                   // columns of a group there
  int max_code;
  // Of each row's groups; w = scale (code - zero) + minimum.
  const float* scales;
  const uint8_t* zero_points;  // null: half of the range, or 0 with minima
  const float* minima;         // null: 0
  uint8_t* codes;              // [rows, columns]
  // [rows, stop - block]: errors in units of U's diagonal, and values, of the columns from `block` on
  int block;
  float *errors, *values;  // values: null without a correction
  double* squares;         // [rows]: their squared errors are added
};

// On the pool.
void RoundColumns(const Compensation& task);

}  // namespace llm
