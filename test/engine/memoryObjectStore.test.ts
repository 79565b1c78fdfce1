import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { objectStoreConformance } from '../conformance/objects.ts';

objectStoreConformance('memory', async () => createMemoryObjects());
