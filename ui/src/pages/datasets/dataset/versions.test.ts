import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../../backend/generated/types';
import { versionsOf } from './versions';

const dataset = (id: string, name: string, file: string, created_at: number, conversations = 10, sha256 = id): Dataset => ({ id, name, file, created_at, conversations, sha256, shape: 'text', bytes: 1, folder: '' });

describe('versions', () => {
  const orders = dataset('orders', 'Café orders', 'orders.jsonl', 30, 480);
  const all = [
    orders,
    dataset('orders-held-out', 'Café orders held out', 'orders.jsonl', 30, 120, 'orders'),
    dataset('orders-2', 'Orders of May', 'orders.jsonl', 50, 510),
    dataset('orders-3', 'Café orders 2', 'new.csv', 40, 400),
    dataset('other', 'Café ordersheets', 'sheets.csv', 60),
    dataset('maths', 'Maths', 'maths.csv', 70),
  ];

  it('are of the same file or the same name, newest first', () => {
    expect(versionsOf(orders, all).map((version) => version.dataset.id)).toEqual(['orders-2', 'orders-3', 'orders', 'orders-held-out']);
  });

  it('say how they differ', () => {
    const [may, , own, held] = versionsOf(orders, all);
    expect(may).toMatchObject({ difference: 30, sameFile: false, current: false });
    expect(own).toMatchObject({ difference: 0, current: true });
    expect(held).toMatchObject({ difference: -360, sameFile: true });
  });
});
