import { expect, test } from '@jest/globals';

import { defaultTemplate, JinjaChatTemplate } from './chat-template.ts';
import { ChatTemplateError } from './errors.ts';

const chatMl =
  `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}` +
  `{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`;

test('writes a conversation, with and without the opening of an answer', () => {
  const template = new JinjaChatTemplate(chatMl);
  const messages = [{ role: 'user', content: 'Hi' }];
  expect(template.render(messages)).toBe('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
  expect(template.render(messages, { addGenerationPrompt: false })).toBe('<|im_start|>user\nHi<|im_end|>\n');
});

test('knows the special tokens and more variables', () => {
  const template = new JinjaChatTemplate('{{ bos_token }}{% if thinking %}<think>{% endif %}', { bos_token: '<s>' });
  expect(template.render([], { variables: { thinking: true } })).toBe('<s><think>');
});

test('a refusal and broken Jinja are errors that say so', () => {
  const refusing = new JinjaChatTemplate(`{{ raise_exception('roles must alternate') }}`);
  expect(() => refusing.render([])).toThrow(ChatTemplateError);
  expect(() => refusing.render([])).toThrow('refuses this conversation: roles must alternate');
  expect(() => new JinjaChatTemplate('{% if %}').render([])).toThrow('not valid Jinja');
});

test('today', () => {
  const year = new JinjaChatTemplate(`{{ strftime_now('%Y') }}`).render([]);
  expect(Math.abs(Number(year) - new Date().getFullYear())).toBeLessThanOrEqual(1);
});

test('picks the default among named templates', () => {
  const named = [
    { name: 'tool_use', template: 'a' },
    { name: 'default', template: 'b' },
  ];
  expect(defaultTemplate(named)).toBe('b');
  expect(defaultTemplate('c')).toBe('c');
  expect(defaultTemplate(undefined)).toBeUndefined();
  expect(defaultTemplate([1, null])).toBeUndefined();
});
