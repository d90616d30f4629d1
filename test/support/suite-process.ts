/**
 * The child process of one mocha suite: runs the files it is given and tells its parent, test by
 * test, how it goes.
 *
 *     node test/support/suite-process.ts '{"files": [...], "reporter": "spec", "testTimeoutMs": 60000, "grep": null}'
 */
import Mocha from 'mocha';

/** `dot` where tests are many and small; `silent` where a test looks at the results. */
export type Reporter = 'dot' | 'spec' | 'silent';

export interface SuiteRequest {
  readonly files: readonly string[];
  readonly reporter: Reporter;
  readonly testTimeoutMs: number;
  readonly grep: string | null;
}

export type SuiteEvent =
  | { readonly kind: 'begin'; readonly title: string }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly title: string; readonly message: string }
  | {
      readonly kind: 'total';
      readonly passed: number;
      readonly failed: number;
      readonly skipped: number;
    };

function tell(event: SuiteEvent): void {
  process.send?.(event);
}

// The parent is gone: nobody would hear the results.
process.once('disconnect', () => process.exit(1));

const request = JSON.parse(process.argv[2] ?? '') as SuiteRequest;
const mocha = new Mocha({
  reporter: request.reporter === 'silent' ? Mocha.reporters.Base : request.reporter,
  timeout: request.testTimeoutMs,
  slow: request.testTimeoutMs / 2,
  forbidOnly: true,
  ...(request.grep === null ? {} : { grep: new RegExp(request.grep) }),
});
mocha.files = [...request.files];
await mocha.loadFilesAsync();

const runner = mocha.run((failures) => {
  const { passes = 0, pending = 0 } = runner.stats ?? {};
  tell({ kind: 'total', passed: passes, failed: failures, skipped: pending });
  // What still holds the loop open would only hide behind the parent's limit: the parent looks for
  // processes left.
  process.exit(failures === 0 ? 0 : 1);
});
runner.on('test', (test) => tell({ kind: 'begin', title: test.fullTitle() }));
runner.on('hook', (hook) => tell({ kind: 'begin', title: hook.fullTitle() }));
runner.on('test end', () => tell({ kind: 'end' }));
runner.on('fail', (test, error: Error) =>
  tell({ kind: 'failed', title: test.fullTitle(), message: error.message }),
);
