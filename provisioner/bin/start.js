import { launch } from './launch.js';

await launch('../src/start.ts');
