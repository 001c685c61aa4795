#include "sampling/masks_ahead.h"
#include "threads/task_thread.h"

namespace llm {

// If another task keeps the thread busy, whoever asks for the mask makes it.
void MakeMaskAhead(TokenConstraint& constraint) {
  if (constraint.HasMask()) return;
  PostTask([masks = constraint.masks(), state = constraint.state()] { masks->MaskOf(state); });
}

}  // namespace llm
