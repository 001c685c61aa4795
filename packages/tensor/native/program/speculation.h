// Whether guessing pays for one request: decided by measured times, so that it cannot lose for long.
#pragma once

#include <algorithm>
#include <cstdint>

namespace llm {

class Speculation {
 public:
  static constexpr int kMostGuesses = 5;  // with the token before them, one pass of the kernels over each weight

  // Guesses for the next step; 0 for a plain one.
  int Wanted() const { return pause_ > 0 ? 0 : plain_steps_ < kPlainFirst ? 0 : guesses_; }

  void PlainStep(double seconds) {
    ++plain_steps_;
    plain_ = plain_ == 0 ? seconds : plain_ + (seconds - plain_) * kWeight;
    if (pause_ > 0 && --pause_ == 0) gain_ = 1;
  }

  // A step with `guessed` guesses, of which `right` were, that gave right + 1 tokens. Seconds include the guessing.
  void GuessedStep(double seconds, int guessed, int right) {
    const double gain = plain_ * (right + 1) / seconds;
    gain_ += (gain - gain_) * kWeight;
    guesses_ = std::clamp(right == guessed ? guessed + 2 : right + 1, 1, kMostGuesses);
    if (gain_ >= 1) {
      losses_ = 0;
      pause_length_ = kFirstPause;
      return;
    }
    if (++losses_ < kLosses) return;
    losses_ = 0;
    pause_ = pause_length_;
    pause_length_ = std::min(2 * pause_length_, kLongestPause);
  }

 private:
  static constexpr int kPlainFirst = 2, kLosses = 3, kFirstPause = 16, kLongestPause = 1024;  // steps
  static constexpr double kWeight = 0.25;  // of the newest measurement

  double plain_ = 0;
  double gain_ = 1;
  int plain_steps_ = 0, losses_ = 0, pause_ = 0, pause_length_ = kFirstPause;
  int guesses_ = 3;
};

}  // namespace llm
