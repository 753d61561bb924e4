# A trial that holds one GPU: fails if more than `MOST` trials are on it at once, and notes its place on it below `HELD`.
place=1
until mkdir "$HELD/$MACHINE-$CUDA_VISIBLE_DEVICES.$place" 2>/dev/null; do
    place=$((place + 1))
    [ "$place" -le "$MOST" ] || { echo "GPU $CUDA_VISIBLE_DEVICES of machine $MACHINE is taken" >&2; exit 1; }
done
echo "$MACHINE $CUDA_VISIBLE_DEVICES $place" >>"$HELD/used"
sh trial.sh
rmdir "$HELD/$MACHINE-$CUDA_VISIBLE_DEVICES.$place"
