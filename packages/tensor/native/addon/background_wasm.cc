// Without a background thread the work is done before the promise is returned.
#include "addon/background.h"
#include "addon/failure.h"

namespace llm {

Napi::Value RunInBackground(Napi::Env env, const std::vector<Napi::Value>&, std::function<TaskFailure()> work,
                            std::function<Napi::Value(Napi::Env)> result) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  const TaskFailure failure = work();
  if (failure.code.empty())
    deferred.Resolve(result(env));
  else
    deferred.Reject(MakeError(env, failure.code.c_str(), failure.message, failure.detail).Value());
  return deferred.Promise();
}

}  // namespace llm
