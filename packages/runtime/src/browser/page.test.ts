import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { demoModel } from '../../../../tools/test/shared-data.mjs';
import { Model } from '../model.ts';

const root = join(import.meta.dirname, '../../../..');
const example = join(root, 'docs/examples/browser');
const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome', process.env['CHROMIUM'] ?? ''].find(existsSync);
const wasm = join(root, 'packages/tensor/prebuilds/wasm/tensor-relaxed.wasm');
const missing = [
  ...(executablePath ? [] : ['Chromium (Debian: apt-get install chromium)']),
  ...(existsSync(wasm) ? [] : ['WebAssembly kernels (npm run wasm)']),
];

const prompt = 'Once upon a time';
const maxTokens = 40;

// The page of docs/examples/browser, the bundle and the kernels that the engine of Chromium takes, all at once.
(missing.length === 0 ? describe : describe.skip)(
  missing.length === 0 ? 'in Chromium' : `in Chromium (skipped without ${missing.join(' and ')})`,
  () => {
    let browser: Browser;
    let expected: string;

    beforeAll(async () => {
      const built = spawnSync(process.execPath, [join(root, 'tools/build-browser.mjs')], { encoding: 'utf8' });
      expect(built).toMatchObject({ status: 0 });
      browser = await chromium.launch({
        ...(executablePath === undefined ? {} : { executablePath }),
        // Sandboxes need rights that containers seldom give; the page is ours.
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'],
      });
      await using model = await Model.load(demoModel(), { weights: 'int4' });
      expected = await model.generate(prompt, { maxTokens }).text;
    });

    afterAll(async () => {
      await browser.close();
    });

    test.each([true, false])('the shipped model tells the story of native code, isolated: %s', async (isolated) => {
      const server = await serve(isolated);
      const page = await browser.newPage();
      try {
        const foreign: string[] = [];
        page.on('request', (request) => {
          if (!request.url().startsWith(server.url) && !/^(blob|data):/.test(request.url()))
            foreign.push(request.url());
        });
        await page.goto(server.url);
        await page.click('#shipped');
        await ready(page);
        expect(await page.textContent('#error')).toBe('');
        expect(await page.textContent('#status')).toContain(`${isolated ? 'with' : 'without'} cross-origin isolation`);
        expect(await page.textContent('#status')).toContain('wasm_relaxed');
        expect(await write(page)).toBe(prompt + expected);
        expect(await page.textContent('#speed')).toMatch(/^40 tokens, [\d.]+ tokens per second/);
        const threads = isolated ? await page.evaluate('navigator.hardwareConcurrency') : 1;
        expect(await page.textContent('#speed')).toMatch(new RegExp(`on ${String(threads)} threads?,`));
        expect(foreign).toEqual([]);
      } finally {
        await page.close();
        server.process.kill();
      }
    });

    test('files from a dialog are loaded too, and what is no model is named', async () => {
      const server = await serve(false);
      const page = await browser.newPage();
      try {
        await page.goto(server.url);
        await page.setInputFiles('#files', { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') });
        await page.waitForSelector('#error:not([hidden])');
        expect(await page.textContent('#error')).toContain('Among notes.txt there is no model');
        const names = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json'];
        await page.setInputFiles(
          '#files',
          names.map((name) => join(demoModel(), name)),
        );
        await ready(page);
        expect(await page.isVisible('#error')).toBe(false);
        expect(await write(page)).toBe(prompt + expected);
      } finally {
        await page.close();
        server.process.kill();
      }
    });

    test('on a phone nothing is wider than the screen, and every control has a name', async () => {
      const server = await serve(false);
      const page = await browser.newPage({ viewport: { width: 320, height: 640 }, colorScheme: 'dark' });
      try {
        await page.goto(server.url);
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320);
        const nameless = `[...document.querySelectorAll('input, textarea, button')]
          .filter((it) => !(it.labels?.[0]?.textContent ?? it.textContent).trim()).map((it) => it.outerHTML)`;
        expect(await page.evaluate(nameless)).toEqual([]);
      } finally {
        await page.close();
        server.process.kill();
      }
    });
  },
);

async function serve(isolated: boolean): Promise<{ process: ChildProcess; url: string }> {
  const args = [join(example, 'serve.mjs'), '--port', '0', ...(isolated ? ['--isolated'] : [])];
  const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const chunk of server.stdout) {
    const url = /http:\S+/.exec(String(chunk))?.[0];
    if (url !== undefined) return { process: server, url };
  }
  throw new Error('the example server ended');
}

/** Selectors, because the page's policy forbids code in strings. */
async function ready(page: Page): Promise<void> {
  await page.waitForSelector('#send:enabled, #error:not([hidden])', { timeout: 100_000 });
}

/** What stands in the log once the answer is complete. */
async function write(page: Page): Promise<string | null> {
  await page.fill('#prompt', prompt);
  await page.fill('#max-tokens', String(maxTokens));
  await page.click('#send');
  await ready(page);
  return page.textContent('#log p:last-child');
}
