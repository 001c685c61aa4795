import { fileURLToPath } from 'node:url';

/**
 * The folder of a few documents of each task that come with this package, in the form of the published data sets: for trying things
 * without a download. They are not of the data sets, and scores on them say nothing about a model.
 */
export const sampleData: string = fileURLToPath(new URL('../samples', import.meta.url));
