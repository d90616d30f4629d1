/**
 * Goal: a run that fails is cut down to few actions, and one command runs exactly those again.
 * Method: a bug is planted in a process of its own, which cuts a seed down; what it prints is given
 * to a second process.
 */
import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { planOf } from './plan.ts';
import { keepOnly, keptOf } from './shrink.ts';

const HOOK = new URL('mutant-hook.ts', import.meta.url).href;
const MAIN = new URL('main.ts', import.meta.url).pathname;

const simulate = (args: readonly string[]): string => {
  const env = { ...process.env, MUTANT: 'answers a flush without one' };
  return spawnSync(process.execPath, ['--import', HOOK, MAIN, ...args], { env, encoding: 'utf8' })
    .stdout;
};

const lines = (output: string, pattern: RegExp): string[] =>
  output.split('\n').filter((line) => pattern.test(line));

describe('a plan that was cut down', () => {
  it('is run again, event by event, by the one command that is printed for it', function () {
    this.timeout(300_000);
    const cut = simulate(['--seed', '1', '--profile', 'flushed', '--shrink']);
    const [command = ''] = lines(cut, /^ {2}again: /);
    expect(command).to.match(/--only [0-9,-]+(,blackout)? --trace$/);
    const again = simulate(command.split(' -- ')[1]!.split(' '));
    const trace = (output: string): string[] => lines(output, /^ *\d+\.\d\d |^seed /);
    expect(trace(again).length).to.be.greaterThan(20);
    expect(trace(again)).to.deep.equal(trace(cut));
    const actions = lines(cut, /^\{"/).length;
    expect(actions).to.be.within(1, planOf(1, 'flushed').actions.length / 2);
  });

  it('names the actions that are left, and refuses those that there are not', () => {
    const whole = planOf(1, 'flushed');
    expect(whole.finalBlackout).to.equal(true);
    const actions = whole.actions.filter((_, index) => index < 3 || index === 7);
    const cut = { ...whole, actions, finalBlackout: false };
    expect(keptOf(whole, cut)).to.equal('0-2,7');
    expect(keepOnly(whole, '0-2,7')).to.deep.equal(cut);
    expect(keptOf(whole, { ...cut, finalBlackout: true })).to.equal('0-2,7,blackout');
    expect(keepOnly(whole, '0-2,7,blackout')).to.deep.equal({ ...cut, finalBlackout: true });
    expect(() => keepOnly(whole, `1-${whole.actions.length}`)).to.throw(RangeError, 'it has 0 to');
    expect(() => keepOnly(whole, 'all')).to.throw(RangeError, 'no action all');
    expect(() => keepOnly(cut, '0,blackout')).to.throw(RangeError, 'has no blackout');
  });
});
