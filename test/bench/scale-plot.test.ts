import { expect } from 'chai';
import { plotScale } from './scale-plot.ts';

describe('what many volumes cost', () => {
  it('is drawn as a picture, each measure with its values', async () => {
    const point = { idleMs: 1, residentBytes: 128 * 1024 ** 2 };
    const svg = await plotScale([
      { ...point, volumes: 10, eventMs: 2.25, claimMs: 31 },
      { ...point, volumes: 1000, eventMs: 2.5, claimMs: 33 },
    ]);
    const texts = [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);
    const titles = ['of an event (ms)', 'of a claim (ms)'].map((of) => `processor time ${of}`);
    expect(texts).to.include.members([...titles, 'resident memory (MiB)']);
    expect(texts).to.include.members(['2.25', '2.5', '31', '33', '128', '10', '1,000']);
  });
});
