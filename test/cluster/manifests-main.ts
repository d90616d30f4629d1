/** `npm run manifests`: writes what is generated from the chart. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTool } from '../support/tool.ts';
import { PLAIN_MANIFEST, renderPlainManifest } from './plain-manifest.ts';
import { findPrograms } from './programs.ts';

const programs = findPrograms();
const helm = programs === null ? 'helm' : join(programs, 'helm');
const manifest = await renderPlainManifest(async (args) => (await runTool(helm, args)).stdout);
writeFileSync(PLAIN_MANIFEST, manifest);
