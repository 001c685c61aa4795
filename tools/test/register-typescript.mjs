// node --conditions=@llm/source --import …/register-typescript.mjs file.ts   runs the sources in a process of their own.
import { register } from 'node:module';

register('./typescript-loader.mjs', import.meta.url);
