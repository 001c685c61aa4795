// Reads a ProgramDescription of src/program-description.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "program/instruction.h"

namespace llm {

// Checked and ready to run. Null after throwing into JavaScript.
std::unique_ptr<Program> ReadProgram(Napi::Env env, Napi::Value description);

}  // namespace llm
