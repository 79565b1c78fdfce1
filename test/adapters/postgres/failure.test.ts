import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromPostgres, fromSink } from '../../../adapters/postgres/failure.ts';
import { WaybillError } from '../../../domain/errors.ts';

const ofState = (code: string, more: object = {}) =>
  Object.assign(new Error('value "secret"'), { code, severity: 'ERROR', ...more });
const ofSystem = (code: string) => Object.assign(new Error(`connect ${code}`), { code });

describe('errors of PostgreSQL', () => {
  it('are DatabaseUnavailable where waiting helps', () => {
    const states = [
      '08006',
      '57P01',
      '57P03',
      '53100',
      '53300',
      '40001',
      '40P01',
      '55P03',
      '57014',
      '28P01',
      '3D000',
    ];
    for (const state of states) {
      assert.equal(fromPostgres(ofState(state)).code, 'DatabaseUnavailable', state);
      assert.equal(fromSink(ofState(state)).code, 'DatabaseUnavailable', state);
    }
    for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND']) {
      assert.equal(fromPostgres(ofSystem(code)).code, 'DatabaseUnavailable', code);
    }
    const messages = [
      'Connection terminated unexpectedly',
      'timeout exceeded when trying to connect',
      'Client has encountered a connection error and is not queryable',
      'Connection terminated due to connection timeout',
      'Query read timeout',
    ];
    for (const message of messages) {
      assert.equal(fromPostgres(new Error(message)).code, 'DatabaseUnavailable', message);
    }
    const both = new AggregateError([ofSystem('ECONNREFUSED'), ofSystem('ECONNREFUSED')]);
    assert.equal(fromPostgres(both).code, 'DatabaseUnavailable');
  });

  it('are the sink’s where a row or its table is wrong', () => {
    for (const state of ['22P02', '22003', '23502', '23505', '23514', '54000']) {
      assert.equal(fromSink(ofState(state)).code, 'SinkRejected', state);
    }
    for (const state of ['42P01', '42703', '42804', '42501', '42P10']) {
      assert.equal(fromSink(ofState(state)).code, 'SinkIncompatible', state);
    }
  });

  it('name table, column and constraint, and never a value', () => {
    const error = fromSink(ofState('22P02', { table: 'orders', column: 'n' }));
    assert.equal(error.detail, '22P02, table orders, column n');
    assert.equal(error.cause, undefined);
  });

  it('are Internal otherwise, and ours pass through', () => {
    assert.equal(fromPostgres(ofState('42601')).code, 'Internal');
    assert.equal(fromPostgres(new TypeError('x is undefined')).code, 'Internal');
    const ours = new WaybillError('RunEnded');
    assert.equal(fromSink(ours), ours);
  });
});
