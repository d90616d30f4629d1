/** The repository's own sources as syntax trees, for the tests that judge their shape. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

import ts from 'typescript';

export interface Import {
  readonly specifier: string;
  /** `import type`, or only types inside. */
  readonly isTypeOnly: boolean;
}

export interface SourceModule {
  /** From the repository's root, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  readonly imports: readonly Import[];
  /** Texts that name another module: scripts that are started as processes. */
  readonly strings: readonly string[];
  /** Name and length in lines of every function. */
  readonly functions: readonly { readonly name: string; readonly lines: number }[];
}

const SOURCES = '{replica,target,provisioner}/{src,bin}/**/*.{ts,js}';
const TESTS = 'test/**/*.ts';
const MODULE_STRING = /\.(ts|js)$/;
/** The folder of each package that others import by name. */
const PACKAGES: Readonly<Record<string, string>> = { '@openebs/replica': 'replica' };

export function readSources(root: string): SourceModule[] {
  const paths = [SOURCES, TESTS].flatMap((pattern) =>
    globSync(pattern, { cwd: root, exclude: (name) => name === 'node_modules' }),
  );
  return paths.sort().map((path) => readModule(root, path));
}

function readModule(root: string, path: string): SourceModule {
  const text = readFileSync(join(root, path), 'utf8');
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
  const imports: Import[] = [];
  const strings: string[] = [];
  const functions: { name: string; lines: number }[] = [];
  const lineOf = (position: number): number => tree.getLineAndCharacterOfPosition(position).line;
  const visit = (node: ts.Node): void => {
    const found = importOf(node);
    if (found !== null) imports.push(found);
    else if (ts.isStringLiteralLike(node) && MODULE_STRING.test(node.text)) strings.push(node.text);
    if (ts.isFunctionLike(node) && 'body' in node) {
      const name = node.name?.getText() ?? nameOfHolder(node);
      functions.push({ name, lines: lineOf(node.end) - lineOf(node.getStart()) + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return { path, text, lines: text.split('\n'), imports, strings, functions };
}

function nameOfHolder(node: ts.Node): string {
  if (ts.isVariableDeclaration(node.parent)) return node.parent.name.getText();
  // `describe('...', () => ...)`: the function called names it.
  return ts.isCallExpression(node.parent)
    ? `argument of ${node.parent.expression.getText()}`
    : 'a function';
}

function importOf(node: ts.Node): Import | null {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    const clause = node.importClause;
    const isTypeOnly = clause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
    return { specifier: node.moduleSpecifier.text, isTypeOnly };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
    const specifier = (node.moduleSpecifier as ts.StringLiteral).text;
    return { specifier, isTypeOnly: node.isTypeOnly };
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [argument] = node.arguments;
    if (argument !== undefined && ts.isStringLiteralLike(argument))
      return { specifier: argument.text, isTypeOnly: false };
  }
  return null;
}

/** The module of this repository that a specifier means, from the root; null when it is none. */
export function resolveImport(root: string, from: string, specifier: string): string | null {
  if (specifier.startsWith('.'))
    return relative(root, join(root, dirname(from), specifier)).replaceAll('\\', '/');
  for (const [name, folder] of Object.entries(PACKAGES)) {
    if (specifier !== name && !specifier.startsWith(`${name}/`)) continue;
    const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as {
      exports: Record<string, string>;
    };
    const target = manifest.exports[`.${specifier.slice(name.length)}`];
    return target === undefined ? null : join(folder, target);
  }
  return null;
}

/** What a text that ends like a module's name may mean: a path from here or from the root. */
export function resolveString(root: string, from: string, text: string): string[] {
  return [join(dirname(from), text), text].filter((path) => existsSync(join(root, path)));
}
