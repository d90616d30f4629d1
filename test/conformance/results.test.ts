import { expect } from 'chai';

import { parseConformance, parseList } from './results.ts';

const PRINTED = `
Suite: OrWrite
  Test: Simple ...    [FAILED] ORWRITE command failed with status 2
    [FAILED] It passed
FAILED
    1. test_orwrite_simple.c:42  - CU_ASSERT_EQUAL(ret,0)
  Test: BeyondEol ...passed
  Test: Verify ...    [SKIPPED] ORWRITE is not implemented.
    [SKIPPED] Really not.
passed    [FAILED] said by the preparation of the next suite
Suite: NoMedia
  Test: NoMediaSBC ...
passed
  Test: Last ...
Run Summary:    Type  Total    Ran Passed Failed Inactive
`;

describe('reading what the conformance suite prints', () => {
  it('gives each test its verdict, and none to one that did not end', () => {
    const verdicts = parseConformance(PRINTED).map(({ name, outcome }) => [name, outcome]);
    expect(verdicts).to.deep.equal([
      ['OrWrite.Simple', 'failed'],
      ['OrWrite.BeyondEol', 'passed'],
      ['OrWrite.Verify', 'passed'],
      ['NoMedia.NoMediaSBC', 'passed'],
      ['NoMedia.Last', 'failed'],
    ]);
  });

  it('lists the assertions that failed', () => {
    const [first, second] = parseConformance(PRINTED);
    expect(first?.assertions).to.deep.equal(['test_orwrite_simple.c:42  - CU_ASSERT_EQUAL(ret,0)']);
    expect(second?.assertions).to.deep.equal([]);
  });

  it('finds what a test has skipped, whatever its verdict', () => {
    const skipped = parseConformance(PRINTED).map((result) => result.skipped);
    expect(skipped).to.deep.equal([[], [], ['ORWRITE is not implemented.', 'Really not.'], [], []]);
  });

  it('takes the tests of one family from the list', () => {
    const list = 'ALL\nALL.Read10\nALL.Read10.Simple\nSCSI.Read10.Simple\nALL.Read10.Async\n';
    expect(parseList(list, 'ALL')).to.deep.equal(['Read10.Simple', 'Read10.Async']);
  });
});
