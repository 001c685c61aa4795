#include <atomic>
#include <memory>
#include <utility>

#include "addon/background.h"
#include "addon/failure.h"
#include "threads/task_thread.h"

namespace llm {
namespace {

struct Task {
  napi_deferred deferred = nullptr;
  napi_ref keep = nullptr;
  napi_threadsafe_function finish = nullptr;
  std::function<TaskFailure()> work;
  std::function<Napi::Value(Napi::Env)> result;
  TaskFailure failure;
  std::atomic<uint32_t> done{0};  // 1 once the background thread no longer touches JavaScript's memory
};

// JavaScript may end (process.exit, worker.terminate) before the task: its arrays must live until the task has
// finished.
void AwaitTask(void* data) { static_cast<Task*>(data)->done.wait(0); }

// On the JavaScript thread. `env` is null if JavaScript ended meanwhile.
void Finish(napi_env env, napi_value, void*, void* data) {
  auto* const shared = static_cast<std::shared_ptr<Task>*>(data);
  const std::shared_ptr<Task> task = *shared;
  delete shared;
  if (env == nullptr) return;

  AwaitTask(task.get());
  napi_remove_env_cleanup_hook(env, AwaitTask, task.get());
  if (task->failure.code.empty()) {
    const Napi::Value value = task->result(env);
    if (value.IsEmpty()) {  // the result itself failed
      napi_value error = nullptr;
      napi_get_and_clear_last_exception(env, &error);
      napi_reject_deferred(env, task->deferred, error);
    } else {
      napi_resolve_deferred(env, task->deferred, value);
    }
  } else {
    const TaskFailure& failure = task->failure;
    const Napi::Error error = MakeError(env, failure.code.c_str(), failure.message, failure.detail);
    napi_reject_deferred(env, task->deferred, error.Value());
  }
  napi_delete_reference(env, task->keep);
}

}  // namespace

Napi::Value RunInBackground(Napi::Env env, const std::vector<Napi::Value>& keep, std::function<TaskFailure()> work,
                            std::function<Napi::Value(Napi::Env)> result) {
  auto task = std::make_shared<Task>();
  task->work = std::move(work);
  task->result = std::move(result);

  napi_value promise = nullptr;
  napi_create_promise(env, &task->deferred, &promise);
  Napi::Array kept = Napi::Array::New(env, keep.size());
  for (uint32_t i = 0; i < keep.size(); ++i) kept.Set(i, keep[i]);
  napi_create_reference(env, kept, 1, &task->keep);

  const Napi::String name = Napi::String::New(env, "llm:task");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, Finish,
                                      &task->finish) != napi_ok)
    return Fail(env, "INVALID_ARGUMENT", "this JavaScript environment is ending");
  // After the function's own hook, so that it runs before it.
  napi_add_env_cleanup_hook(env, AwaitTask, task.get());

  PostTask([task] {
    task->failure = task->work();
    task->work = nullptr;
    napi_call_threadsafe_function(task->finish, new std::shared_ptr<Task>(task), napi_tsfn_nonblocking);
    napi_release_threadsafe_function(task->finish, napi_tsfn_release);
    task->done.store(1);
    task->done.notify_all();
  });
  return Napi::Value(env, promise);
}

}  // namespace llm
