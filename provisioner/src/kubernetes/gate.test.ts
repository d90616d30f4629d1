import { expect } from 'chai';
import { Gate } from './gate.ts';
import { settle } from './virtual-clock.test-support.ts';

describe('a gate', () => {
  it('lets so many through at once, in their order, also behind one that fails', async () => {
    const gate = new Gate(2);
    const begun: number[] = [];
    const ends: ((failed: boolean) => void)[] = [];
    const works = [0, 1, 2, 3].map((id) =>
      gate.run(async () => {
        begun.push(id);
        const failed = await new Promise<boolean>((resolve) => ends.push(resolve));
        if (failed) throw new Error(`work ${id}`);
        return id;
      }),
    );
    const ended = Promise.allSettled(works);
    await settle();
    expect(begun).to.deep.equal([0, 1]);
    ends[0]?.(true);
    await settle();
    expect(begun).to.deep.equal([0, 1, 2]);
    ends[1]?.(false);
    await settle();
    expect(begun).to.deep.equal([0, 1, 2, 3]);
    ends[2]?.(false);
    ends[3]?.(false);
    expect((await ended).map(({ status }) => status)).to.deep.equal([
      ...['rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
    ]);
  });
});
