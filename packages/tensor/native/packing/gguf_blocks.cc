#include "packing/gguf_blocks.h"

#include <cstring>

#include "kernels/half.h"

namespace llm {
namespace {

float Half(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return HalfToFloat(bits);
}

// Byte j holds value j in its low and value 16 + j in its high nibble.
void Nibbles32(const uint8_t* __restrict bytes, uint8_t* __restrict codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = bytes[j] & 15;
    codes[16 + j] = bytes[j] >> 4;
  }
}

void FifthBits(const uint8_t* __restrict bits, uint8_t* __restrict codes) {
  for (int byte = 0; byte < 4; ++byte) {
    for (int j = 0; j < 8; ++j)
      codes[8 * byte + j] = static_cast<uint8_t>(codes[8 * byte + j] | (bits[byte] >> j & 1) << 4);
  }
}

// ggml's table of 16 levels, as int8 codes with the zero at 128.
constexpr uint8_t kIq4Codes[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

void Levels32(const uint8_t* bytes, uint8_t* codes) {
  Nibbles32(bytes, codes);
  for (int j = 0; j < 32; ++j) codes[j] = kIq4Codes[codes[j]];
}

// The 6-bit scales and minima of 8 sub-blocks, out of 12 bytes of Q4_K and Q5_K.
void ScalesAndMinima(const uint8_t* block, GgufBlock* out) {
  const float d = Half(block), least = Half(block + 2);
  const uint8_t* const b = block + 4;
  for (int part = 0; part < 8; ++part) {
    const int scale = part < 4 ? b[part] & 63 : (b[part + 4] & 15) | b[part - 4] >> 6 << 4;
    const int minimum = part < 4 ? b[part + 4] & 63 : b[part + 4] >> 4 | b[part] >> 6 << 4;
    out->scales[part] = d * static_cast<float>(scale);
    out->minima[part] = -least * static_cast<float>(minimum);
  }
}

// Loops over 32 bytes, all of them the same, are what compilers make vectors of.
constexpr int kRun = 32;

// Two sub-blocks of 32 share 32 bytes: low nibbles, then high ones.
void NibblePairs(const uint8_t* __restrict bytes, uint8_t* __restrict codes) {
  for (int pair = 0; pair < 4; ++pair, bytes += kRun, codes += 2 * kRun) {
    for (int l = 0; l < kRun; ++l) codes[l] = bytes[l] & 15;
    for (int l = 0; l < kRun; ++l) codes[kRun + l] = bytes[l] >> 4;
  }
}

// 2-bit fields of two halves of 128 values: 32 bytes each, value 32 r + l in bits 2 r of byte l.
void Pairs256(const uint8_t* __restrict bytes, uint8_t* __restrict codes) {
  for (int half = 0; half < 2; ++half, bytes += kRun) {
    for (int r = 0; r < 4; ++r, codes += kRun)
      for (int l = 0; l < kRun; ++l) codes[l] = bytes[l] >> 2 * r & 3;
  }
}

// Value 32 r + l has one more bit, bit r of byte l.
void AddBit256(const uint8_t* __restrict bytes, int shift, uint8_t* __restrict codes) {
  for (int r = 0; r < 8; ++r, codes += kRun)
    for (int l = 0; l < kRun; ++l) codes[l] = static_cast<uint8_t>(codes[l] | (bytes[l] >> r & 1) << shift);
}

}  // namespace

void DecodeQ4_0(const uint8_t* block, GgufBlock* out) {
  out->scales[0] = Half(block);
  Nibbles32(block + 2, out->codes);
}

void DecodeQ4_1(const uint8_t* block, GgufBlock* out) {
  out->scales[0] = Half(block);
  out->minima[0] = Half(block + 2);
  Nibbles32(block + 4, out->codes);
}

void DecodeQ5_0(const uint8_t* block, GgufBlock* out) {
  out->scales[0] = Half(block);
  Nibbles32(block + 6, out->codes);
  FifthBits(block + 2, out->codes);
  for (int j = 0; j < 32; ++j) out->codes[j] = static_cast<uint8_t>(out->codes[j] + 128 - 16);
}

void DecodeQ5_1(const uint8_t* block, GgufBlock* out) {
  out->scales[0] = Half(block);
  out->minima[0] = Half(block + 2);
  Nibbles32(block + 8, out->codes);
  FifthBits(block + 4, out->codes);
}

void DecodeQ8_0(const uint8_t* block, GgufBlock* out) {
  out->scales[0] = Half(block);
  for (int j = 0; j < 32; ++j) out->codes[j] = block[2 + j] ^ 128;
}

void DecodeIq4Nl(const uint8_t* block, GgufBlock* out) {
  out->scales[0] = Half(block);
  Levels32(block + 2, out->codes);
}

void DecodeIq4Xs(const uint8_t* block, GgufBlock* out) {
  const float d = Half(block);
  const int high = block[2] | block[3] << 8;
  for (int part = 0; part < 8; ++part) {
    const int low = block[4 + part / 2] >> 4 * (part & 1) & 15;
    out->scales[part] = d * static_cast<float>((low | (high >> 2 * part & 3) << 4) - 32);
    Levels32(block + 8 + 16 * part, out->codes + 32 * part);
  }
}

void DecodeQ2K(const uint8_t* block, GgufBlock* out) {
  const float d = Half(block + 80), least = Half(block + 82);
  for (int part = 0; part < 16; ++part) {
    out->scales[part] = d * static_cast<float>(block[part] & 15);
    out->minima[part] = -least * static_cast<float>(block[part] >> 4);
  }
  Pairs256(block + 16, out->codes);
}

void DecodeQ3K(const uint8_t* block, GgufBlock* out) {
  const float d = Half(block + 108);
  for (int part = 0; part < 16; ++part) {
    const int low = block[96 + (part & 7)] >> 4 * (part >> 3) & 15;
    const int high = block[104 + (part & 3)] >> 2 * (part >> 2) & 3;
    out->scales[part] = d * static_cast<float>((low | high << 4) - 32);
  }
  Pairs256(block + 32, out->codes);
  AddBit256(block, 2, out->codes);
}

void DecodeQ4K(const uint8_t* block, GgufBlock* out) {
  ScalesAndMinima(block, out);
  NibblePairs(block + 16, out->codes);
}

void DecodeQ5K(const uint8_t* block, GgufBlock* out) {
  ScalesAndMinima(block, out);
  NibblePairs(block + 48, out->codes);
  AddBit256(block + 16, 4, out->codes);
}

void DecodeQ6K(const uint8_t* block, GgufBlock* out) {
  const float d = Half(block + 208);
  for (int part = 0; part < 16; ++part)
    out->scales[part] = d * static_cast<float>(static_cast<int8_t>(block[192 + part]));
  uint8_t* __restrict codes = out->codes;
  for (int half = 0; half < 2; ++half) {
    const uint8_t* const high = block + 128 + kRun * half;
    for (int quarter = 0; quarter < 4; ++quarter, codes += kRun) {
      const uint8_t* const low = block + 64 * half + kRun * (quarter & 1);
      for (int l = 0; l < kRun; ++l) {
        const int bits = (low[l] >> 4 * (quarter >> 1) & 15) | (high[l] >> 2 * quarter & 3) << 4;
        codes[l] = static_cast<uint8_t>(bits - 32 + 128);
      }
    }
  }
}

}  // namespace llm
