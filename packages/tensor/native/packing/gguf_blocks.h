// The layouts of GGUF's kinds of blocks.
#pragma once

#include "packing/gguf.h"

namespace llm {

void DecodeQ4_0(const uint8_t* block, GgufBlock* out);
void DecodeQ4_1(const uint8_t* block, GgufBlock* out);
void DecodeQ5_0(const uint8_t* block, GgufBlock* out);
void DecodeQ5_1(const uint8_t* block, GgufBlock* out);
void DecodeQ8_0(const uint8_t* block, GgufBlock* out);
void DecodeIq4Nl(const uint8_t* block, GgufBlock* out);
void DecodeIq4Xs(const uint8_t* block, GgufBlock* out);
void DecodeQ2K(const uint8_t* block, GgufBlock* out);
void DecodeQ3K(const uint8_t* block, GgufBlock* out);
void DecodeQ4K(const uint8_t* block, GgufBlock* out);
void DecodeQ5K(const uint8_t* block, GgufBlock* out);
void DecodeQ6K(const uint8_t* block, GgufBlock* out);

}  // namespace llm
