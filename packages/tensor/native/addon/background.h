// Long calls off the event loop: one background thread for the process, which in turn uses the pool.
#pragma once

#include <napi.h>

#include <functional>
#include <string>
#include <vector>

namespace llm {

// Why a task failed: the code and message of the JavaScript error, and a number for codes that carry one.
struct TaskFailure {
  std::string code;  // empty: no failure
  std::string message;
  double detail = 0;
};

// Calls `work` on the background thread, then settles the promise on the JavaScript thread: with the failure that
// `work` returned, else with what `result` makes: undefined, unless it is given. `keep` stays alive until then. Tasks
// run one after another, in order. A JavaScript environment waits for its own tasks before it ends.
Napi::Value RunInBackground(
    Napi::Env env, const std::vector<Napi::Value>& keep, std::function<TaskFailure()> work,
    std::function<Napi::Value(Napi::Env)> result = [](Napi::Env env) -> Napi::Value { return env.Undefined(); });

}  // namespace llm
