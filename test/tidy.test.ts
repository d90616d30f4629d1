/**
 * Goal: the repository keeps the shape that ARCHITECTURE.md draws.
 * Method: every source is read as a syntax tree and held against the tables below.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, matchesGlob } from 'node:path';

import { expect } from 'chai';

import {
  readSources,
  resolveImport,
  resolveString,
  type SourceModule,
} from './support/source-tree.ts';

const ROOT = dirname(import.meta.dirname);
const FILE_LINES = 450;
const FUNCTION_LINES = 80;
const COLUMNS = 100;

/**
 * ARCHITECTURE.md, "Where things are": who may import whom. The first line that fits a module
 * counts.
 */
const MAY_IMPORT: readonly { readonly from: string; readonly to: readonly string[] }[] = [
  {
    from: 'replica/src/protocol/**',
    to: ['replica/src/protocol/**', 'replica/src/runtime/builtin.ts'],
  },
  { from: 'replica/src/runtime/**', to: ['replica/src/runtime/**'] },
  {
    from: 'replica/src/store/**',
    to: ['replica/src/{store,protocol,runtime}/**'],
  },
  { from: 'replica/src/**', to: ['replica/src/**'] },
  {
    from: 'target/src/iscsi/**',
    to: ['target/src/iscsi/**', 'target/src/scsi/task.ts', 'replica/src/runtime/**'],
  },
  {
    from: 'target/src/scsi/**',
    to: ['target/src/scsi/**', 'target/src/volume.ts', 'replica/src/runtime/**'],
  },
  {
    from: 'target/src/replicator/**',
    to: [
      'target/src/replicator/**',
      'target/src/volume.ts',
      'replica/src/{protocol,runtime,store}/**',
    ],
  },
  { from: 'target/src/**', to: ['target/src/**', 'replica/src/{protocol,runtime,store}/**'] },
  { from: 'provisioner/**', to: ['provisioner/**'] },
  { from: 'test/**', to: ['**'] },
];

/** Values that a package's modules and all its folders share. */
const COMMON = ['replica/src/limits.ts', 'target/src/limits.ts'];

/**
 * What a test file may import besides: doubles and helpers of its own package, and of the
 * cross-process tests.
 */
const TEST_FILES = '**/*.{test,test-support}.ts';

/**
 * Modules of Node.js that cost memory when the module loader binds them. See
 * replica/src/runtime/builtin.ts.
 */
const HEAVY = ['http', 'https', 'http2', 'crypto', 'zlib', 'fs', 'net', 'path'];

const BANNED: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  { pattern: /\b(TODO|FIXME|XXX|HACK)\b/, why: 'do it, or write an issue' },
  { pattern: /\bas any\b/, why: 'say what it is' },
  { pattern: /^export default\b/, why: 'names are the same everywhere' },
  { pattern: /\b(describe|it)\.(only|skip)\(/, why: 'every test runs' },
  { pattern: /@ts-(ignore|nocheck|expect-error)/, why: 'the checker is right' },
];

const sources = readSources(ROOT);
const byPath = new Map(sources.map((module) => [module.path, module]));
const isTest = (path: string): boolean => matchesGlob(path, TEST_FILES);

/** Every finding at once: one run tells all that there is to tidy. */
function expectNone(findings: readonly string[]): void {
  expect(findings, `\n${findings.join('\n')}\n`).to.have.length(0);
}

function findLines(find: (line: string, module: SourceModule) => string | null): string[] {
  return sources.flatMap((module) =>
    module.lines.flatMap((line, index) => {
      const finding = find(line, module);
      return finding === null ? [] : [`${module.path}:${index + 1} ${finding}`];
    }),
  );
}

describe('the repository', () => {
  it('keeps its import directions', () => {
    const findings = sources.flatMap((module) => {
      if (isTest(module.path)) return [];
      const rule = MAY_IMPORT.find(({ from }) => matchesGlob(module.path, from));
      if (rule === undefined) return [`${module.path} is in no row of the table`];
      const allowed = [...rule.to, ...COMMON];
      return module.imports
        .map(({ specifier }) => resolveImport(ROOT, module.path, specifier))
        .filter((target) => target !== null)
        .filter((target) => !allowed.some((pattern) => matchesGlob(target, pattern)))
        .map((target) => `${module.path} imports ${target}`);
    });
    expectNone(findings);
  });

  it('imports nothing of its own that is not there', () => {
    const findings = sources.flatMap((module) =>
      module.imports
        .filter(({ specifier }) => /^(\.|@openebs\/)/.test(specifier))
        .filter(({ specifier }) => {
          const target = resolveImport(ROOT, module.path, specifier);
          return target === null || !existsSync(join(ROOT, target));
        })
        .map(({ specifier }) => `${module.path} imports ${specifier}`),
    );
    expectNone(findings);
  });

  it(`has no file above ${FILE_LINES} lines`, () => {
    const long = sources.filter(({ lines }) => lines.length - 1 > FILE_LINES);
    expectNone(long.map(({ path, lines }) => `${path} has ${lines.length - 1}`));
  });

  it(`has no function above ${FUNCTION_LINES} lines`, () => {
    const findings = sources.flatMap(({ path, functions }) =>
      functions
        .filter(({ lines }) => lines > FUNCTION_LINES)
        // What a `describe` holds is a list of tests.
        .filter(({ name }) => !(path.endsWith('.test.ts') && name === 'argument of describe'))
        .map(({ name, lines }) => `${path}: ${name} has ${lines}`),
    );
    expectNone(findings);
  });

  it(`has no line above ${COLUMNS} columns, but for text that people read in one piece`, () => {
    expectNone(
      findLines((line) =>
        line.length > COLUMNS && !/['"`].{30,}['"`]/.test(line) ? `has ${line.length}` : null,
      ),
    );
  });

  it('has no word that stands for unfinished work', () => {
    const self = 'test/tidy.test.ts';
    expectNone(
      findLines((line, { path }) => {
        const found = BANNED.find(({ pattern }) => pattern.test(line));
        return found === undefined || path === self ? null : `${line.trim()}: ${found.why}`;
      }),
    );
  });

  it('has no drawer for odds and ends', () => {
    const drawers = sources.filter(({ path }) =>
      /(^|\/)(utils?|helpers?|misc|common)\.ts$/.test(path),
    );
    expectNone(drawers.map(({ path }) => path));
  });

  it('takes heavy built-in modules without the module loader in the daemons', () => {
    const daemons = sources.filter(
      ({ path }) => matchesGlob(path, '{replica,target}/src/**') && !isTest(path),
    );
    const findings = daemons.flatMap(({ path, imports }) =>
      imports
        .filter(({ isTypeOnly }) => !isTypeOnly)
        .filter(({ specifier }) => HEAVY.includes(specifier.replace(/^node:/, '')))
        .map(({ specifier }) => `${path} imports ${specifier}`),
    );
    expectNone(findings);
  });

  it('has no module that neither a program nor a test reaches', () => {
    const reached = new Set<string>();
    const visit = (path: string): void => {
      const module = byPath.get(path);
      if (module === undefined || reached.has(path)) return;
      reached.add(path);
      for (const { specifier } of module.imports) {
        const target = resolveImport(ROOT, path, specifier);
        if (target !== null) visit(target);
      }
      for (const text of module.strings)
        for (const target of resolveString(ROOT, path, text)) visit(target);
    };
    for (const { path } of sources) if (path.endsWith('.test.ts')) visit(path);
    for (const path of programs()) visit(path);
    expectNone(sources.map(({ path }) => path).filter((path) => !reached.has(path)));
  });

  it('has no link in its documents that leads nowhere', () => {
    const documents = globSync('{*,docs/**/*,{replica,target,provisioner,test}/*}.md', {
      cwd: ROOT,
    });
    const findings = documents.flatMap((document) => {
      const text = readFileSync(join(ROOT, document), 'utf8');
      return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, link]) => link!.split('#', 1)[0]!)
        .filter((link) => link !== '' && !/^[a-z]+:/.test(link))
        .filter((link) => !existsSync(join(ROOT, dirname(document), link)))
        .map((link) => `${document} links to ${link}`);
    });
    expectNone(findings);
  });
});

/** What package.json files start (`node PATH` in scripts, and `bin`) and CONTRIBUTING.md tells to start. */
function programs(): string[] {
  const guide = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8');
  const told = [...guide.matchAll(/\bnode (\S+\.ts)\b/g)].map(([, path]) => path!);
  const started = ['.', 'replica', 'target', 'provisioner'].flatMap((folder) => {
    const manifest = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as {
      scripts?: Record<string, string>;
      bin?: Record<string, string>;
    };
    const scripts = Object.values(manifest.scripts ?? {}).flatMap((script) => script.split(/\s+/));
    const paths = [...scripts, ...Object.values(manifest.bin ?? {})];
    return paths.filter((path) => /\.(ts|js)$/.test(path)).map((path) => join(folder, path));
  });
  return [...started, ...told];
}
