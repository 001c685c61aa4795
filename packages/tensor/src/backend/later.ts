/** Calls a task in a later turn of the event loop, when everything else has had its turn. */
export const later: (task: () => void) => void = typeof setImmediate === 'function' ? setImmediate : messages();

/** Browsers delay repeated timers by milliseconds, but not messages. */
function messages(): (task: () => void) => void {
  const tasks: (() => void)[] = [];
  const { port1, port2 } = new MessageChannel();
  (port1 as EventTarget).addEventListener('message', () => tasks.shift()?.());
  port1.start();
  return (task) => {
    tasks.push(task);
    port2.postMessage(undefined);
  };
}
