import { fileURLToPath } from 'node:url';

/** The project with one pipeline that does next to nothing. */
export const benchProject = fileURLToPath(new URL('project', import.meta.url));

/** The project of which most records are rejected. */
export const repairsProject = fileURLToPath(new URL('repairs', import.meta.url));

/** The project with runs that wait for people. */
export const gatedProject = fileURLToPath(new URL('gated', import.meta.url));
