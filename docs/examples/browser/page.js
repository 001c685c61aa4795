// The page: hands files to the worker and shows what comes back.
const element = (id) => document.getElementById(id);
const [drop, status, error, progress, log, form, prompt, send, stop, speed] = [
  ...['drop', 'status', 'error', 'progress', 'log', 'form', 'prompt', 'send', 'stop', 'speed'],
].map(element);

const shippedFiles = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json'];
const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
let answer;
let chat = false;

const handlers = {
  ready() {},

  progress({ stage, done, total }) {
    progress.hidden = false;
    progress.value = total > 0 ? done / total : 0;
    status.textContent = `${stage}: ${done} of ${total}`;
  },

  loaded({ chat: hasTemplate, bytes, isa, isolated }) {
    chat = hasTemplate;
    progress.hidden = true;
    const mebibytes = Math.round(bytes / 2 ** 20);
    status.textContent =
      `Ready: ${mebibytes} MiB, kernels ${isa}, ` +
      `${isolated ? 'with' : 'without'} cross-origin isolation. ${chat ? 'It answers questions.' : 'It continues texts.'}`;
    element('prompt-label').textContent = chat ? 'Your message' : 'The beginning of a text';
    log.replaceChildren();
    setBusy(false);
    prompt.focus();
  },

  text({ text, tokens, seconds }) {
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    answer.append(text);
    if (follows) log.scrollTop = log.scrollHeight;
    if (tokens > 1) speed.textContent = `${((tokens - 1) / seconds).toFixed(1)} tokens per second`;
  },

  done({ reason, tokens, seconds, threads }) {
    const rate = tokens > 1 && seconds > 0 ? `, ${((tokens - 1) / seconds).toFixed(1)} tokens per second` : '';
    const why = { stop: 'the end', length: 'the most tokens allowed', context: 'a full context', aborted: 'your stop' };
    speed.textContent = `${tokens} tokens${rate} on ${threads} ${threads === 1 ? 'thread' : 'threads'}, up to ${why[reason]}.`;
    setBusy(false);
  },

  error({ message }) {
    progress.hidden = true;
    error.hidden = false;
    error.textContent = message;
    status.textContent = answer ? 'The model is still loaded.' : 'No model is loaded.';
    setBusy(false, answer !== undefined);
  },
};

worker.onmessage = ({ data }) => handlers[data.type](data);
worker.onerror = (event) => {
  event.preventDefault();
  handlers.error({ message: event.message ?? 'The worker could not be started.' });
};

function setBusy(busy, loaded = true) {
  send.disabled = prompt.disabled = busy || !loaded;
  stop.disabled = !busy || answer === undefined;
  element('shipped').disabled = element('files').disabled = element('folder').disabled = busy;
}

function load(files) {
  error.hidden = true;
  answer = undefined;
  speed.textContent = '';
  status.textContent = 'Reading the files.';
  setBusy(true);
  worker.postMessage({ type: 'load', files });
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (send.disabled || prompt.value.trim() === '') return;
  error.hidden = true;
  const entry = document.createElement('p');
  const given = document.createElement('span');
  given.className = 'given';
  given.textContent = chat ? `${prompt.value}\n` : prompt.value;
  answer = document.createElement('span');
  entry.append(given, answer);
  log.append(entry);
  log.scrollTop = log.scrollHeight;
  setBusy(true);
  const number = (id) => Number(element(id).value);
  worker.postMessage({
    type: 'generate',
    prompt: prompt.value,
    temperature: number('temperature'),
    maxTokens: number('max-tokens'),
  });
});

prompt.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});

stop.addEventListener('click', () => worker.postMessage({ type: 'stop' }));

for (const id of ['files', 'folder'])
  element(id).addEventListener('change', ({ target }) => {
    if (target.files.length > 0) load([...target.files]);
    target.value = '';
  });

element('shipped').addEventListener('click', async () => {
  setBusy(true);
  status.textContent = 'Fetching the story model from this server.';
  try {
    const fetched = shippedFiles.map(async (name) => {
      const response = await fetch(`model/${name}`);
      if (!response.ok) throw new Error(`The server has no model/${name}.`);
      return { name, data: await response.blob() };
    });
    load(await Promise.all(fetched));
  } catch ({ message }) {
    handlers.error({ message });
  }
});

drop.addEventListener('dragover', (event) => {
  event.preventDefault();
  drop.classList.add('over');
});
drop.addEventListener('dragleave', () => drop.classList.remove('over'));
drop.addEventListener('drop', async (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  // Entries have to be taken before the first await.
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  load((await Promise.all(entries.map(filesOf))).flat());
});

/** The files of a dropped file or folder; folders in it are left out. */
async function filesOf(entry) {
  const fileOf = (file) => new Promise((resolve, reject) => file.file(resolve, reject));
  if (entry.isFile) return [await fileOf(entry)];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return Promise.all(files.map(fileOf));
    files.push(...entries.filter(({ isFile }) => isFile));
  }
}
