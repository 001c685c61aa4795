// How the binding of programs gets at the grammar behind a JavaScript Grammar.
#pragma once

#include <napi.h>

#include <memory>

#include "sampling/token_constraint.h"

namespace llm {

// Null if the value is none.
std::shared_ptr<TokenMasks> UnwrapGrammar(Napi::Value value);

}  // namespace llm
