package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A flag that may be repeated.
type files []string

func (f *files) String() string { return strings.Join(*f, ", ") }

func (f *files) Set(name string) error {
	*f = append(*f, name)
	return nil
}

// Checks that the log begins with the trees of older checkpoints, and that the partial tiles of these are still served.
func verifyOlder(from log, vkey string, names []string) error {
	newest, err := checkpoint(from, vkey)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(newest, &tiles{from: from})
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		old, err := openCheckpoint(data, vkey)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if old.N == 0 {
			continue
		}
		// With this reader it takes the old tree's own tiles to get its root.
		root, err := tlog.TreeHash(old.N, tlog.TileHashReader(old, &tiles{from: from, strict: true}))
		if err != nil {
			return fmt.Errorf("tiles of size %d: %w", old.N, err)
		}
		if root != old.Hash {
			return fmt.Errorf("tiles of size %d have the root %v, the checkpoint has %v", old.N, root, old.Hash)
		}
		proof, err := tlog.ProveTree(newest.N, old.N, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, newest.N, newest.Hash, old.N, old.Hash); err != nil {
			return fmt.Errorf("consistency from the checkpoint of %d: %w", old.N, err)
		}
	}
	return nil
}

// Proofs that somebody else has made.
type claims struct {
	Inclusion []struct {
		Size   int64
		Root   tlog.Hash
		Index  int64
		Leaf   []byte
		Hashes []tlog.Hash
	}
	Consistency []struct {
		Size    int64
		Root    tlog.Hash
		OldSize int64
		OldRoot tlog.Hash
		Hashes  []tlog.Hash
	}
}

func verifyClaims(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var found claims
	if err := json.Unmarshal(data, &found); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, claim := range found.Inclusion {
		if err := tlog.CheckRecord(claim.Hashes, claim.Size, claim.Root, claim.Index, tlog.RecordHash(claim.Leaf)); err != nil {
			return fmt.Errorf("the server's proof that %d is in the tree of %d: %w", claim.Index, claim.Size, err)
		}
	}
	for _, claim := range found.Consistency {
		if err := tlog.CheckTree(claim.Hashes, claim.Size, claim.Root, claim.OldSize, claim.OldRoot); err != nil {
			return fmt.Errorf("the server's proof that the tree of %d begins with that of %d: %w", claim.Size, claim.OldSize, err)
		}
	}
	return nil
}
