import { LIMITS } from '../../limits.ts';
import { parseNumber } from './text.ts';

/** The result of operational negotiation. RFC 7143 13 */
export interface OperationalParameters {
  headerDigest: boolean;
  dataDigest: boolean;
  /** What the initiator takes in one data segment. Bytes. */
  initiatorMaxDataSegmentBytes: number;
  /** What we declared. Bytes. */
  targetMaxDataSegmentBytes: number;
  maxConnections: number;
  initialR2T: boolean;
  immediateData: boolean;
  maxBurstBytes: number;
  firstBurstBytes: number;
  defaultTime2WaitSeconds: number;
  defaultTime2RetainSeconds: number;
  maxOutstandingR2T: number;
  errorRecoveryLevel: number;
  /** RFC 7144: 1 is RFC 7143 itself. */
  protocolLevel: number;
}

/** RFC 7143's values for keys that nobody negotiated. */
export const defaultParameters = (targetMaxDataSegmentBytes: number): OperationalParameters => ({
  headerDigest: false,
  dataDigest: false,
  initiatorMaxDataSegmentBytes: 8192,
  targetMaxDataSegmentBytes,
  maxConnections: 1,
  initialR2T: true,
  immediateData: true,
  maxBurstBytes: 262_144,
  firstBurstBytes: 65_536,
  defaultTime2WaitSeconds: 2,
  defaultTime2RetainSeconds: 20,
  maxOutstandingR2T: 1,
  errorRecoveryLevel: 0,
  protocolLevel: 1,
});

export const NOT_UNDERSTOOD = 'NotUnderstood';
export const IRRELEVANT = 'Irrelevant';
export const REJECT = 'Reject';

interface NumberRule {
  readonly low: number;
  readonly high: number;
  readonly ours: (parameters: OperationalParameters) => number;
  readonly pick: 'minimum' | 'maximum';
  readonly leadingOnly: boolean;
  readonly irrelevantInDiscovery: boolean;
  readonly apply: (parameters: OperationalParameters, value: number) => void;
}

const BURST = { low: 512, high: 0xffffff } as const;

/** RFC 7143 13: the numerical keys with their result functions. */
const NUMBERS: Readonly<Record<string, NumberRule>> = {
  MaxConnections: {
    low: 1,
    high: 65_535,
    ours: () => 1,
    pick: 'minimum',
    leadingOnly: true,
    irrelevantInDiscovery: true,
    apply: (parameters, value) => (parameters.maxConnections = value),
  },
  MaxBurstLength: {
    ...BURST,
    ours: () => LIMITS.maxBurstLengthBytes,
    pick: 'minimum',
    leadingOnly: true,
    irrelevantInDiscovery: true,
    apply: (parameters, value) => (parameters.maxBurstBytes = value),
  },
  FirstBurstLength: {
    ...BURST,
    // RFC 7143 13.14: FirstBurstLength must not exceed MaxBurstLength.
    ours: (parameters) => Math.min(LIMITS.firstBurstLengthBytes, parameters.maxBurstBytes),
    pick: 'minimum',
    leadingOnly: true,
    irrelevantInDiscovery: true,
    apply: (parameters, value) => (parameters.firstBurstBytes = value),
  },
  DefaultTime2Wait: {
    low: 0,
    high: 3600,
    ours: () => 0,
    pick: 'maximum',
    leadingOnly: true,
    irrelevantInDiscovery: false,
    apply: (parameters, value) => (parameters.defaultTime2WaitSeconds = value),
  },
  DefaultTime2Retain: {
    low: 0,
    high: 3600,
    // At error recovery level 0 nothing outlives its connection.
    ours: () => 0,
    pick: 'minimum',
    leadingOnly: true,
    irrelevantInDiscovery: false,
    apply: (parameters, value) => (parameters.defaultTime2RetainSeconds = value),
  },
  MaxOutstandingR2T: {
    low: 1,
    high: 65_535,
    ours: () => LIMITS.outstandingR2Ts,
    pick: 'minimum',
    leadingOnly: true,
    irrelevantInDiscovery: true,
    apply: (parameters, value) => (parameters.maxOutstandingR2T = value),
  },
  ErrorRecoveryLevel: {
    low: 0,
    high: 2,
    ours: () => 0,
    pick: 'minimum',
    leadingOnly: true,
    irrelevantInDiscovery: false,
    apply: (parameters, value) => (parameters.errorRecoveryLevel = value),
  },
  // RFC 7144 2.1
  iSCSIProtocolLevel: {
    low: 0,
    high: 31,
    ours: () => 1,
    pick: 'minimum',
    leadingOnly: true,
    irrelevantInDiscovery: true,
    apply: (parameters, value) => (parameters.protocolLevel = value),
  },
};

interface BooleanRule {
  readonly combine: 'or' | 'and';
  readonly ours: boolean;
  readonly apply: (parameters: OperationalParameters, value: boolean) => void;
}

/** All leading-only and irrelevant in discovery. */
const BOOLEANS: Readonly<Record<string, BooleanRule>> = {
  InitialR2T: {
    combine: 'or',
    ours: false,
    apply: (parameters, value) => (parameters.initialR2T = value),
  },
  ImmediateData: {
    combine: 'and',
    ours: true,
    apply: (parameters, value) => (parameters.immediateData = value),
  },
  // Both orders are kept always, so there is nothing to remember.
  DataPDUInOrder: { combine: 'or', ours: true, apply: () => undefined },
  DataSequenceInOrder: { combine: 'or', ours: true, apply: () => undefined },
};

/** RFC 7143 13.25: markers are gone; who still offers them is told so. */
const OBSOLETE = new Set(['IFMarker', 'OFMarker', 'IFMarkInt', 'OFMarkInt']);

/** Values that answer an offer; from an initiator they are an answer to ours and end the matter. */
const ANSWERS = new Set([NOT_UNDERSTOOD, IRRELEVANT, REJECT]);

/** `value: null` means that the key is declarative and gets no answer. */
export type KeyOutcome =
  | { readonly kind: 'answer'; readonly value: string | null }
  /** Leading-only key on a later connection of a session, or a key that may not be sent here. */
  | { readonly kind: 'protocol-error'; readonly message: string };

const answer = (value: string | null): KeyOutcome => ({ kind: 'answer', value });

export interface NegotiationScope {
  readonly discovery: boolean;
  /** The first connection of its session: only here session-wide keys may be negotiated. */
  readonly leading: boolean;
}

/**
 * Applies one operational key of the initiator to `parameters` and says what to answer. RFC 7143
 * 6.2, 13
 */
export const negotiateKey = (
  parameters: OperationalParameters,
  key: string,
  value: string,
  scope: NegotiationScope,
): KeyOutcome => {
  if (ANSWERS.has(value)) return answer(null);
  const number = NUMBERS[key];
  if (number !== undefined) return negotiateNumber(parameters, number, value, scope);
  const boolean = BOOLEANS[key];
  if (boolean !== undefined) return negotiateBoolean(parameters, boolean, value, scope);
  switch (key) {
    case 'HeaderDigest': {
      const choice = chooseFromList(value, ['None', 'CRC32C']);
      if (choice !== null) parameters.headerDigest = choice === 'CRC32C';
      return answer(choice ?? REJECT);
    }
    case 'DataDigest': {
      const choice = chooseFromList(value, ['None', 'CRC32C']);
      if (choice !== null) parameters.dataDigest = choice === 'CRC32C';
      return answer(choice ?? REJECT);
    }
    case 'MaxRecvDataSegmentLength': {
      // RFC 7143 13.12: declarative, one for each direction.
      const bytes = parseNumber(value);
      if (bytes === null || bytes < 512 || bytes > 0xffffff) return answer(REJECT);
      parameters.initiatorMaxDataSegmentBytes = bytes;
      return answer(null);
    }
    case 'TaskReporting':
      // RFC 7143 13.23: the way of RFC 3720 is the one that every initiator knows.
      if (scope.discovery) return answer(IRRELEVANT);
      return answer(chooseFromList(value, ['RFC3720']) ?? REJECT);
    case 'X#NodeArchitecture':
      // RFC 7143 13.26: declarative, for the log of whoever wants it.
      return answer(null);
    case 'TargetAlias':
    case 'TargetAddress':
    case 'TargetPortalGroupTag':
    case 'SendTargets':
      return { kind: 'protocol-error', message: `${key} is not for the initiator to send here` };
    default:
      return answer(OBSOLETE.has(key) ? REJECT : NOT_UNDERSTOOD);
  }
};

/**
 * The first of the offered values that we know: the offer is in order of preference. RFC 7143 6.2.1
 */
export const chooseFromList = (offer: string, known: readonly string[]): string | null =>
  offer.split(',').find((value) => known.includes(value)) ?? null;

const negotiateNumber = (
  parameters: OperationalParameters,
  rule: NumberRule,
  value: string,
  scope: NegotiationScope,
): KeyOutcome => {
  if (scope.discovery && rule.irrelevantInDiscovery) return answer(IRRELEVANT);
  if (rule.leadingOnly && !scope.leading) return answer(REJECT);
  const offered = parseNumber(value);
  if (offered === null || offered < rule.low || offered > rule.high) return answer(REJECT);
  const ours = rule.ours(parameters);
  const result = rule.pick === 'minimum' ? Math.min(offered, ours) : Math.max(offered, ours);
  rule.apply(parameters, result);
  return answer(String(result));
};

const negotiateBoolean = (
  parameters: OperationalParameters,
  rule: BooleanRule,
  value: string,
  scope: NegotiationScope,
): KeyOutcome => {
  if (scope.discovery) return answer(IRRELEVANT);
  if (!scope.leading) return answer(REJECT);
  if (value !== 'Yes' && value !== 'No') return answer(REJECT);
  const offered = value === 'Yes';
  const result = rule.combine === 'or' ? offered || rule.ours : offered && rule.ours;
  rule.apply(parameters, result);
  return answer(result ? 'Yes' : 'No');
};
