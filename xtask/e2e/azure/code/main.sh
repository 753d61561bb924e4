echo "rate $1"
echo "A is $A"
# Until somebody has read this, if somebody wants to.
while [ -n "$GO" ] && [ ! -e "$GO" ]; do sleep 0.1; done
echo done
