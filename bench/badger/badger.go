// BadgerDB behind C functions, for kv_badger.c. Each returns nil or the text of an error.
package main

// #include <stdint.h>
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"sync"
	"time"
	"unsafe"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

type store struct {
	db   *badger.DB
	opts badger.Options
}

var (
	mutex  sync.RWMutex
	stores []*store
)

func of(handle int) *store {
	mutex.RLock()
	defer mutex.RUnlock()
	return stores[handle]
}

func text(err error) *C.char {
	if err == nil {
		return nil
	}
	return C.CString(err.Error())
}

//export badger_open
func badger_open(directory *C.char, cacheBytes, memoryBytes C.uint64_t, synced bool, handle *int) *C.char {
	opts := badger.DefaultOptions(C.GoString(directory)).
		WithLogger(nil).
		WithSyncWrites(synced).
		WithMemTableSize(int64(memoryBytes)).
		WithBlockCacheSize(int64(cacheBytes)).
		WithCompression(options.ZSTD).
		WithZSTDCompressionLevel(1).
		WithMetricsEnabled(false).
		WithDetectConflicts(false)
	db, err := badger.Open(opts)
	if err != nil {
		return text(err)
	}
	mutex.Lock()
	defer mutex.Unlock()
	stores = append(stores, &store{db, opts})
	*handle = len(stores) - 1
	return nil
}

//export badger_close
func badger_close(handle int) *C.char { return text(of(handle).db.Close()) }

// Pairs lie one behind the other: keyBytes of key, valueBytes of value.
//
//export badger_write
func badger_write(handle int, pairs unsafe.Pointer, count, keyBytes, valueBytes int) *C.char {
	all := C.GoBytes(pairs, C.int(count*(keyBytes+valueBytes)))
	txn := of(handle).db.NewTransaction(true)
	defer txn.Discard()
	for ; len(all) > 0; all = all[keyBytes+valueBytes:] {
		if err := txn.Set(all[:keyBytes:keyBytes], all[keyBytes:keyBytes+valueBytes]); err != nil {
			return text(err)
		}
	}
	return text(txn.Commit())
}

//export badger_get
func badger_get(handle int, key unsafe.Pointer, keyBytes int, value unsafe.Pointer, valueBytes int, found *bool) *C.char {
	txn := of(handle).db.NewTransaction(false)
	defer txn.Discard()
	item, err := txn.Get(unsafe.Slice((*byte)(key), keyBytes))
	if err == badger.ErrKeyNotFound {
		*found = false
		return nil
	}
	if err != nil {
		return text(err)
	}
	*found = true
	return text(item.Value(func(stored []byte) error {
		if len(stored) != valueBytes {
			return fmt.Errorf("a value of %d bytes", len(stored))
		}
		copy(unsafe.Slice((*byte)(value), valueBytes), stored)
		return nil
	}))
}

//export badger_scan
func badger_scan(handle int, key unsafe.Pointer, keyBytes, rows int, count *int) *C.char {
	txn := of(handle).db.NewTransaction(false)
	defer txn.Discard()
	iterator := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: rows})
	defer iterator.Close()
	for iterator.Seek(C.GoBytes(key, C.int(keyBytes))); *count < rows && iterator.Valid(); iterator.Next() {
		if err := iterator.Item().Value(func([]byte) error { return nil }); err != nil {
			return text(err)
		}
		*count++
	}
	return nil
}

// Memtables are written out by closing; then it waits until no level is above its size.
//
//export badger_settle
func badger_settle(handle int) *C.char {
	s := of(handle)
	if err := s.db.Close(); err != nil {
		return text(err)
	}
	db, err := badger.Open(s.opts)
	if err != nil {
		return text(err)
	}
	s.db = db
	for {
		due := false
		for _, level := range db.Levels() {
			due = due || level.Score >= 1
		}
		if !due {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

//export badger_compact
func badger_compact(handle int) *C.char {
	if err := badger_settle(handle); err != nil {
		return err
	}
	return text(of(handle).db.Flatten(2))
}

//export badger_bytes
func badger_bytes(handle int) uint64 {
	bytes := uint64(0)
	for _, table := range of(handle).db.Tables() {
		bytes += uint64(table.OnDiskSize)
	}
	return bytes
}

func main() {}
