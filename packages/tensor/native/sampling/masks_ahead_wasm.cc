#include "sampling/masks_ahead.h"

namespace llm {

void MakeMaskAhead(TokenConstraint& constraint) { constraint.Allowed(); }

}  // namespace llm
