// keyvalue: grpc-go against a running plinthd, with stubs made from api/. Prints a line a check and ends with status 1
// when one failed. Usage: keyvalue HOST:PORT
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	pb "plinth/tests/interop/clients/plinthv1"
)

var failures int

func check(name string, err error) {
	if err != nil {
		failures++
		fmt.Printf("FAIL  grpc-go %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok    grpc-go %s\n", name)
}

func want(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("wanted %v, got %v", code, err)
	}
	return nil
}

func setAndGet(ctx context.Context, kv pb.KeyValueClient) error {
	written, err := kv.Set(ctx, &pb.SetRequest{Key: []byte("go/one"), Value: []byte("1")})
	if err != nil {
		return err
	}
	got, err := kv.Get(ctx, &pb.GetRequest{Key: []byte("go/one"), Read: &pb.ReadOptions{PositionMin: written.Position}})
	if err != nil {
		return err
	}
	if string(got.Value) != "1" || !bytes.Equal(got.Version.Token, written.Position.Token) {
		return fmt.Errorf("got %q at %x, wrote it at %x", got.Value, got.Version.Token, written.Position.Token)
	}
	_, err = kv.Get(ctx, &pb.GetRequest{Key: []byte("go/none")})
	return want(err, codes.NotFound)
}

func largeValue(ctx context.Context, kv pb.KeyValueClient) error {
	value := bytes.Repeat([]byte("plinth"), 80_000)
	if _, err := kv.Set(ctx, &pb.SetRequest{Key: []byte("go/large"), Value: value}, grpc.UseCompressor(gzip.Name)); err != nil {
		return err
	}
	got, err := kv.Get(ctx, &pb.GetRequest{Key: []byte("go/large")})
	if err == nil && !bytes.Equal(got.Value, value) {
		err = fmt.Errorf("got %d other bytes", len(got.Value))
	}
	return err
}

func indexes(ctx context.Context, kv pb.KeyValueClient) error {
	for i := 0; i < 30; i++ {
		color := &pb.IndexValue{Index: "go.color", Value: []byte{"rgb"[i%3]}}
		request := &pb.SetRequest{Key: []byte(fmt.Sprintf("go/i%02d", i)), Value: []byte("v"), Indexes: []*pb.IndexValue{color}}
		if _, err := kv.Set(ctx, request); err != nil {
			return err
		}
	}
	request := &pb.GetByIndexRequest{Index: "go.color", Match: &pb.GetByIndexRequest_Exact{Exact: []byte("g")}, PageSize: 4}
	found := 0
	for {
		page, err := kv.GetByIndex(ctx, request)
		if err != nil {
			return err
		}
		found += len(page.Entries)
		if len(page.NextPageToken) == 0 {
			break
		}
		request.PageToken = page.NextPageToken
	}
	if found != 10 {
		return fmt.Errorf("found %d of 10", found)
	}
	return nil
}

func scan(ctx context.Context, kv pb.KeyValueClient) error {
	stream, err := kv.Scan(ctx, &pb.ScanRequest{Prefix: []byte("go/i"), Reverse: true, Limit: 25})
	if err != nil {
		return err
	}
	last, rows := []byte("go/j"), 0
	for {
		chunk, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		for _, row := range chunk.Rows {
			if bytes.Compare(row.Key, last) >= 0 {
				return fmt.Errorf("%q comes behind %q", row.Key, last)
			}
			last = row.Key
			rows++
		}
	}
	if rows != 25 {
		return fmt.Errorf("got %d of 25 rows", rows)
	}
	return nil
}

func cancelledScan(ctx context.Context, kv pb.KeyValueClient) error {
	inner, cancel := context.WithCancel(ctx)
	stream, err := kv.Scan(inner, &pb.ScanRequest{})
	if err != nil {
		cancel()
		return err
	}
	_, err = stream.Recv()
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	if err == io.EOF { // it was over before
		return nil
	}
	return want(err, codes.Canceled)
}

func batchAndCompareAndSet(ctx context.Context, kv pb.KeyValueClient) error {
	set := &pb.BatchRequest_Set{Key: []byte("go/b"), Value: []byte("1")}
	del := &pb.BatchRequest_Delete{Key: []byte("go/one")}
	_, err := kv.Batch(ctx, &pb.BatchRequest{Operations: []*pb.BatchRequest_Operation{
		{Operation: &pb.BatchRequest_Operation_Set{Set: set}}, {Operation: &pb.BatchRequest_Operation_Delete{Delete: del}}}})
	if err != nil {
		return err
	}
	request := &pb.CompareAndSetRequest{Key: []byte("go/b"), Expect: &pb.CompareAndSetRequest_Value{Value: []byte("1")},
		Operation:         &pb.CompareAndSetRequest_Set{Set: &pb.BatchRequest_Set{Value: []byte("2")}},
		WithPreviousValue: true}
	first, err := kv.CompareAndSet(ctx, request)
	if err != nil {
		return err
	}
	second, err := kv.CompareAndSet(ctx, request)
	if err != nil {
		return err
	}
	if !first.Applied || second.Applied || string(second.PreviousValue) != "2" {
		return fmt.Errorf("applied %v then %v, previous %q", first.Applied, second.Applied, second.PreviousValue)
	}
	return nil
}

func errors(ctx context.Context, kv pb.KeyValueClient) error {
	_, err := kv.Set(ctx, &pb.SetRequest{Value: []byte("v")})
	if err := want(err, codes.InvalidArgument); err != nil {
		return err
	}
	_, err = kv.Get(ctx, &pb.GetRequest{Key: []byte("k"), Space: &pb.Space{Name: "nowhere"}})
	if err := want(err, codes.NotFound); err != nil {
		return err
	}
	_, err = kv.Set(ctx, &pb.SetRequest{Key: make([]byte, 65537), Value: []byte("v")})
	return want(err, codes.ResourceExhausted)
}

func manyAtOnce(ctx context.Context, kv pb.KeyValueClient) error {
	var group sync.WaitGroup
	failed := make(chan error, 64)
	for worker := 0; worker < 64; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 50; i++ {
				key := []byte(fmt.Sprintf("go/w%d-%d", worker, i))
				if _, err := kv.Set(ctx, &pb.SetRequest{Key: key, Value: key}); err != nil {
					failed <- err
					return
				}
				got, err := kv.Get(ctx, &pb.GetRequest{Key: key})
				if err == nil && !bytes.Equal(got.Value, key) {
					err = fmt.Errorf("%s holds %q", key, got.Value)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	group.Wait()
	close(failed)
	return <-failed
}

func health(ctx context.Context, connection *grpc.ClientConn) error {
	answer, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err == nil && answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("status %v", answer.Status)
	}
	return err
}

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println("FAIL  grpc-go connect:", err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	kv := pb.NewKeyValueClient(connection)
	check("health", health(ctx, connection))
	check("set_and_get", setAndGet(ctx, kv))
	check("large_value_gzip", largeValue(ctx, kv))
	check("index_pages", indexes(ctx, kv))
	check("scan", scan(ctx, kv))
	check("cancelled_scan", cancelledScan(ctx, kv))
	check("batch_and_compare_and_set", batchAndCompareAndSet(ctx, kv))
	check("errors", errors(ctx, kv))
	check("many_at_once", manyAtOnce(ctx, kv))
	if failures > 0 {
		os.Exit(1)
	}
}
