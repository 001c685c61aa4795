// Masks of tokens off the critical path: while a step computes the logits, which take longer. masks_ahead_os.cc has the
// task thread make them; masks_ahead_wasm.cc, whose other threads must not allocate, makes them before the step.
#pragma once

#include "sampling/token_constraint.h"

namespace llm {

// Soon Allowed() of the constraint has its mask at hand. Meanwhile the constraint may be used and may go.
void MakeMaskAhead(TokenConstraint& constraint);

}  // namespace llm
