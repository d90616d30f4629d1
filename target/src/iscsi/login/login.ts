import { LIMITS } from '../../limits.ts';
import { ChapExchange, type ChapSettings } from './chap.ts';
import {
  chooseFromList,
  defaultParameters,
  negotiateKey,
  type OperationalParameters,
} from './keys.ts';
import { LoginStatus, type LoginFailure } from './status.ts';
import { parseText, serializeText, TextFormatError, type TextPair } from './text.ts';

/** The header fields of a Login Request. RFC 7143 11.12 */
export interface LoginRequest {
  readonly transit: boolean;
  readonly more: boolean;
  readonly currentStage: number;
  readonly nextStage: number;
  readonly versionMin: number;
  readonly isid: string;
  readonly tsih: number;
  readonly cid: number;
  readonly text: Uint8Array;
}

export type LoginAuthentication =
  | { readonly kind: 'none' }
  /** `discovery`: whether discovery sessions have to prove themselves too. */
  | { readonly kind: 'chap'; readonly settings: ChapSettings; readonly discovery: boolean };

export interface LoginRedirect {
  /** host:port[,portal group tag] */
  readonly address: string;
  readonly permanent: boolean;
}

export interface LoginSettings {
  readonly targetName: string;
  readonly targetAlias: string | null;
  readonly portalGroupTag: number;
  readonly authentication: LoginAuthentication;
  readonly maxDataSegmentBytes: number;
  readonly random: (bytes: number) => Uint8Array;
  /** Asked at each login to the target. */
  redirect(): LoginRedirect | null;
  /** May this login add its connection to the session, or begin one? Null is yes. */
  admit(who: LoginIdentity): LoginStatus | null;
}

/** Who logs in, known once the first complete text is read. */
export interface LoginIdentity {
  readonly initiatorName: string;
  readonly initiatorAlias: string | null;
  readonly discovery: boolean;
  readonly isid: string;
  readonly tsih: number;
  readonly cid: number;
}

export type LoginAnswer =
  | {
      readonly kind: 'respond';
      readonly text: Uint8Array;
      readonly currentStage: number;
      /** Null: the stage goes on. */
      readonly nextStage: number | null;
    }
  /** A response with this status, then the connection ends. */
  | {
      readonly kind: 'fail';
      readonly status: LoginStatus;
      readonly failure: LoginFailure;
      readonly message: string;
      readonly text: Uint8Array;
    }
  /** No response: who sends this is no initiator. */
  | { readonly kind: 'drop'; readonly failure: LoginFailure; readonly message: string };

export const Stage = { security: 0, operational: 1, fullFeature: 3 } as const;

/** RFC 7143 4.2.7.2: at most 223 bytes; names are compared in lower case. */
const NAME = /^(?:iqn\.|eui\.|naa\.)[\x21-\x7e\u0080-\uffff]{1,219}$/i;

const NONE = new Uint8Array(0);

/**
 * Sent in every text by some initiators, so a repetition with the same value is no second
 * negotiation.
 */
const DECLARED_ONCE = new Set([
  'InitiatorName',
  'InitiatorAlias',
  'TargetName',
  'SessionType',
  'MaxRecvDataSegmentLength',
]);

/**
 * The login of one connection, from the target's side. RFC 7143 6.3
 *
 *     security (0) --> operational (1) --> full feature (3)
 *         \_________________________________/
 */
export class Login {
  readonly parameters: OperationalParameters;
  readonly #settings: LoginSettings;
  #stage: number | null = null;
  #first: LoginRequest | null = null;
  #identity: LoginIdentity | null = null;
  #text: Uint8Array[] = [];
  #textBytes = 0;
  #chap: ChapExchange | null = null;
  #authenticated = false;
  #greeted = false;
  #declared = false;
  readonly #negotiated = new Map<string, string>();

  constructor(settings: LoginSettings) {
    this.#settings = settings;
    this.parameters = defaultParameters(settings.maxDataSegmentBytes);
  }

  get identity(): LoginIdentity | null {
    return this.#identity;
  }

  step(request: LoginRequest): LoginAnswer {
    const refused = this.#checkHeader(request);
    if (refused !== null) return refused;
    this.#textBytes += request.text.length;
    if (this.#textBytes > LIMITS.loginTextBytes) {
      return { kind: 'drop', failure: 'malformed', message: 'the login text is too long' };
    }
    this.#text.push(request.text);
    const currentStage = request.currentStage;
    // RFC 7143 6.2: a text that goes on in the next PDU is answered with an empty one.
    if (request.more) return { kind: 'respond', text: NONE, currentStage, nextStage: null };
    let pairs: TextPair[];
    try {
      pairs = parseText(Buffer.concat(this.#text));
    } catch (error) {
      if (!(error instanceof TextFormatError)) throw error;
      return { kind: 'drop', failure: 'malformed', message: error.message };
    }
    this.#text = [];
    this.#textBytes = 0;
    return this.#stepText(request, pairs);
  }

  #checkHeader(request: LoginRequest): LoginAnswer | null {
    const { currentStage, nextStage, transit, more } = request;
    if (currentStage !== Stage.security && currentStage !== Stage.operational) {
      return fail(LoginStatus.initiatorError, 'negotiation', 'no such login stage');
    }
    if (transit && more) {
      return fail(LoginStatus.initiatorError, 'negotiation', 'T and C are both set');
    }
    // RFC 7143 11.12.3
    if (transit && (nextStage <= currentStage || nextStage === 2)) {
      return fail(LoginStatus.initiatorError, 'negotiation', 'no such stage transition');
    }
    if (this.#first === null) {
      // RFC 7143 11.12.4: there is only version 0.
      if (request.versionMin > 0) {
        return fail(
          LoginStatus.unsupportedVersion,
          'version',
          'the initiator needs a later version',
        );
      }
      this.#first = request;
      this.#stage = currentStage;
      return null;
    }
    const first = this.#first;
    if (
      request.isid !== first.isid ||
      request.cid !== first.cid ||
      (request.tsih !== first.tsih && request.tsih !== 0)
    ) {
      return fail(LoginStatus.initiatorError, 'negotiation', 'ISID, TSIH or CID changed');
    }
    if (currentStage !== this.#stage) {
      return fail(LoginStatus.initiatorError, 'negotiation', 'the login is in another stage');
    }
    return null;
  }

  #stepText(request: LoginRequest, pairs: readonly TextPair[]): LoginAnswer {
    const repeated = this.#checkRepetition(pairs);
    if (repeated !== null) return repeated;
    const refused = this.#identity === null ? this.#identify(request, pairs) : null;
    if (refused !== null) return refused;
    const identity = this.#identity;
    if (identity === null) throw new Error('a login without identity was let through');

    const answers: TextPair[] = [];
    if (!this.#greeted) this.#greet(identity, answers);
    const security = this.#secure(request, identity, pairs, answers);
    if (security !== null) return security;

    const scope = { discovery: identity.discovery, leading: identity.tsih === 0 };
    for (const { key, value } of pairs) {
      if (IDENTITY_KEYS.has(key) || isSecurityKey(key)) continue;
      const outcome = negotiateKey(this.parameters, key, value, scope);
      if (outcome.kind === 'protocol-error') {
        return fail(LoginStatus.initiatorError, 'negotiation', outcome.message);
      }
      if (outcome.value !== null) answers.push({ key, value: outcome.value });
    }
    const nextStage = request.transit && this.#authenticated ? request.nextStage : null;
    if (request.currentStage === Stage.operational || nextStage === Stage.fullFeature) {
      this.#declare(answers);
    }
    if (nextStage !== null) this.#stage = nextStage;
    return {
      kind: 'respond',
      text: serializeText(answers),
      currentStage: request.currentStage,
      nextStage,
    };
  }

  /** RFC 7143 6.2: a key is negotiated once in a login. */
  #checkRepetition(pairs: readonly TextPair[]): LoginAnswer | null {
    for (const { key, value } of pairs) {
      const before = this.#negotiated.get(key);
      if (before !== undefined && !(DECLARED_ONCE.has(key) && before === value)) {
        return fail(LoginStatus.initiatorError, 'negotiation', `${key} was negotiated already`);
      }
      this.#negotiated.set(key, value);
    }
    return null;
  }

  /** RFC 7143 6.3: who logs in, and to what. */
  #identify(request: LoginRequest, pairs: readonly TextPair[]): LoginAnswer | null {
    const given = new Map(pairs.map(({ key, value }) => [key, value]));
    const initiatorName = given.get('InitiatorName');
    // RFC 7143 13.5: the first Login Request has it.
    if (initiatorName === undefined) {
      return fail(LoginStatus.missingParameter, 'missing-parameter', 'InitiatorName is missing');
    }
    if (!NAME.test(initiatorName)) {
      return fail(LoginStatus.initiatorError, 'negotiation', 'InitiatorName is not an iSCSI name');
    }
    const sessionType = given.get('SessionType') ?? 'Normal';
    if (sessionType !== 'Normal' && sessionType !== 'Discovery') {
      return fail(LoginStatus.sessionTypeNotSupported, 'negotiation', 'unknown SessionType');
    }
    const discovery = sessionType === 'Discovery';
    const targetName = given.get('TargetName');
    if (!discovery && targetName === undefined) {
      return fail(LoginStatus.missingParameter, 'missing-parameter', 'TargetName is missing');
    }
    if (
      targetName !== undefined &&
      targetName.toLowerCase() !== this.#settings.targetName.toLowerCase()
    ) {
      return fail(LoginStatus.notFound, 'target-not-found', `no target ${targetName} here`);
    }
    const redirect = discovery ? null : this.#settings.redirect();
    if (redirect !== null) {
      const status = redirect.permanent
        ? LoginStatus.targetMovedPermanently
        : LoginStatus.targetMovedTemporarily;
      const text = serializeText([{ key: 'TargetAddress', value: redirect.address }]);
      return { ...fail(status, 'redirected', `redirected to ${redirect.address}`), text };
    }
    const identity: LoginIdentity = {
      initiatorName: initiatorName.toLowerCase(),
      initiatorAlias: given.get('InitiatorAlias') ?? null,
      discovery,
      isid: request.isid,
      tsih: request.tsih,
      cid: request.cid,
    };
    const refusal = this.#settings.admit(identity);
    if (refusal !== null) {
      return fail(
        refusal,
        refusal === LoginStatus.outOfResources ? 'resources' : 'session',
        'the session cannot take this connection',
      );
    }
    this.#identity = identity;
    return null;
  }

  /** RFC 7143 13.8, 13.9: the first response tells the portal group tag. */
  #greet(identity: LoginIdentity, answers: TextPair[]): void {
    this.#greeted = true;
    if (identity.discovery) return;
    const { targetAlias, portalGroupTag } = this.#settings;
    if (targetAlias !== null) answers.push({ key: 'TargetAlias', value: targetAlias });
    answers.push({ key: 'TargetPortalGroupTag', value: String(portalGroupTag) });
  }

  #declare(answers: TextPair[]): void {
    if (this.#declared) return;
    this.#declared = true;
    const value = String(this.#settings.maxDataSegmentBytes);
    answers.push({ key: 'MaxRecvDataSegmentLength', value });
  }

  /** Security negotiation; null when the login goes on. RFC 7143 6.3.2, 12.1 */
  #secure(
    request: LoginRequest,
    identity: LoginIdentity,
    pairs: readonly TextPair[],
    answers: TextPair[],
  ): LoginAnswer | null {
    if (this.#authenticated) return null;
    const { authentication } = this.#settings;
    const required =
      authentication.kind === 'chap' && (!identity.discovery || authentication.discovery);
    if (request.currentStage === Stage.operational) {
      if (required) return denied('the initiator left out authentication');
      this.#authenticated = true;
      return null;
    }
    const chapKeys = new Map<string, string>();
    for (const { key, value } of pairs) {
      if (key === 'AuthMethod') {
        const known = [
          ...(authentication.kind === 'chap' ? ['CHAP'] : []),
          ...(required ? [] : ['None']),
        ];
        const method = chooseFromList(value, known);
        if (method === null) return denied(`AuthMethod ${value} does not fit`);
        answers.push({ key, value: method });
        if (method === 'None') this.#authenticated = true;
        else if (authentication.kind === 'chap') {
          this.#chap = new ChapExchange(authentication.settings, this.#settings.random);
        }
      } else if (isSecurityKey(key)) {
        chapKeys.set(key, value);
      }
    }
    if (this.#chap !== null) {
      const outcome = this.#chap.step(chapKeys);
      if (outcome.kind === 'failed') return denied(outcome.message);
      answers.push(...outcome.pairs);
      if (this.#chap.done) this.#authenticated = true;
      return null;
    }
    if (chapKeys.size > 0) return denied('CHAP keys without AuthMethod=CHAP');
    // No AuthMethod offered at all: fine where nothing is asked for.
    if (request.transit && !this.#authenticated) {
      if (required) return denied('the initiator offers no authentication');
      this.#authenticated = true;
    }
    return null;
  }
}

const IDENTITY_KEYS = new Set(['InitiatorName', 'InitiatorAlias', 'TargetName', 'SessionType']);

const isSecurityKey = (key: string): boolean => key === 'AuthMethod' || key.startsWith('CHAP_');

const fail = (
  status: LoginStatus,
  failure: LoginFailure,
  message: string,
): LoginAnswer & { kind: 'fail' } => ({ kind: 'fail', status, failure, message, text: NONE });

const denied = (message: string): LoginAnswer =>
  fail(LoginStatus.authenticationFailure, 'authentication', message);
