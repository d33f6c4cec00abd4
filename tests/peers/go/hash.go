package main

import (
	"crypto/sha256"
	"encoding/hex"
)

// displayHash is the hash of a header given in hex, as people write it: the bytes of the double SHA-256 turned round.
func displayHash(header string) (string, error) {
	raw, err := hex.DecodeString(header)
	if err != nil {
		return "", err
	}
	first := sha256.Sum256(raw)
	hash := sha256.Sum256(first[:])
	for left, right := 0, len(hash)-1; left < right; left, right = left+1, right-1 {
		hash[left], hash[right] = hash[right], hash[left]
	}
	return hex.EncodeToString(hash[:]), nil
}
