import { fileURLToPath } from 'node:url';

/** The project whose one pipeline does next to nothing. */
export const benchProject = fileURLToPath(new URL('project', import.meta.url));

/** The project whose runs wait for people. */
export const gatedProject = fileURLToPath(new URL('gated', import.meta.url));
