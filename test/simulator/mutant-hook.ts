import { registerHooks } from 'node:module';
import { MUTANTS } from './mutants.ts';

const name = process.env['MUTANT'];
const mutant = MUTANTS.find((each) => each.name === name);
if (mutant === undefined) throw new RangeError(`no mutant is called ${name ?? ''}`);

/** Loaded before anything else in a process of its own: one file is loaded changed. */
registerHooks({
  load: (url, context, next) => {
    const loaded = next(url, context);
    const { source } = loaded;
    if (!url.endsWith(`/${mutant.file}`) || source === undefined) return loaded;
    const text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString();
    return { ...loaded, source: text.replace(mutant.find, () => mutant.replace) };
  },
});
